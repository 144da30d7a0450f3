#include "clients/cli/list_all.h"

namespace tao::cli {

grpc::Status ListAll(Session& session, pb::ListResponse& all) {
  pb::ListRequest request;
  request.set_page_size(1000);
  do {
    grpc::ClientContext context;
    SetLimit(context, kAnswerLimit);
    const Interrupt::Scope scope(session.interrupt, &context);
    pb::ListResponse page;
    const grpc::Status status = session.stub->List(&context, request, &page);
    if (!status.ok()) return status;
    request.set_page_token(page.next_page_token());
    all.set_latest(page.latest());
    for (pb::Service& service : *page.mutable_services()) {
      all.add_services()->Swap(&service);
    }
  } while (!request.page_token().empty());
  return grpc::Status::OK;
}

}  // namespace tao::cli
