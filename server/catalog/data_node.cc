#include "server/catalog/data_node.h"

namespace tao::catalog {

std::string_view ToString(DataNode::Kind kind) {
  switch (kind) {
    case DataNode::Kind::kNull:
      return "empty";
    case DataNode::Kind::kText:
      return "a single value";
    case DataNode::Kind::kNumber:
      return "a number";
    case DataNode::Kind::kBool:
      return "true or false";
    case DataNode::Kind::kList:
      return "a list";
    case DataNode::Kind::kMap:
      return "a map";
  }
  return "";
}

}  // namespace tao::catalog
