// Starts a service, follows it until it is READY, asks it, and stops it:
//
//	main [-server HOST:PORT] [-platform PLATFORM] [-gpu-mode MODE] [-arch ARCH] [-model PATH] [TEXT]
//
// README.md says how its stubs are generated and how it is built.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"strings"
	"time"

	_ "google.golang.org/genproto/googleapis/rpc/errdetails" // so that status.Details can read them
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	pb "tao_inference/inferencepb"
)

// A video has tens of MB, and gRPC takes 4 MiB unless told otherwise.
const maxAnswerBytes = 256 << 20

func main() {
	log.SetFlags(0)
	server := flag.String("server", "127.0.0.1:50051", "the daemon")
	arch := flag.String("arch", "tao-dataservices", "the model's network_arch")
	model := flag.String("model", "/models/x", "its weights: a path in the container, or hf_model://ORG/MODEL")
	platform := flag.String("platform", "local-docker", "where it runs")
	gpuMode := flag.String("gpu-mode", "", "auto, device, tegra or none; empty: the operator's default")
	flag.Parse()
	text := flag.Arg(0)
	if text == "" {
		text = "Say hello"
	}

	connection, err := grpc.Dial(*server, grpc.WithInsecure(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswerBytes)))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	mode := pb.GpuMode_value["GPU_MODE_"+strings.ToUpper(*gpuMode)] // 0, the default, for ""
	start := &pb.StartRequest{NetworkArch: *arch, ModelPath: *model, Platform: *platform, GpuMode: pb.GpuMode(mode)}
	if err := run(pb.NewInferenceServiceClient(connection), start, text); err != nil {
		log.Fatal(describe(err))
	}
}

// The life of one service. It is stopped also when something fails on the way.
func run(api pb.InferenceServiceClient, request *pb.StartRequest, text string) (failed error) {
	// The daemon looks at the platform for up to 30 s; the launch goes on after its answer.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	started, err := api.Start(ctx, request)
	if err != nil {
		return err
	}
	jobID := started.Service.JobId
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		stopped, err := api.Stop(ctx, &pb.StopRequest{JobId: jobID, Wait: true})
		if err == nil {
			fmt.Println(stopped.Service.Phase)
		} else if failed == nil {
			failed = err
		}
	}()
	if err := waitReady(api, jobID); err != nil {
		return err
	}
	return ask(api, jobID, text)
}

// Prints each phase until READY. The daemon's own limits end a start that hangs.
func waitReady(api pb.InferenceServiceClient, jobID string) error {
	watch, err := api.WatchReadiness(context.Background(), &pb.WatchReadinessRequest{JobId: jobID, UntilReady: true})
	if err != nil {
		return err
	}
	var service *pb.Service
	for {
		event, err := watch.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		service = event.Service
		fmt.Println(service.Phase, service.Message)
	}
	if service.GetPhase() != pb.Phase_PHASE_READY {
		return fmt.Errorf("the service ended: %s\n%s", service.GetMessage(), strings.Join(service.GetLastLogLines(), "\n"))
	}
	return nil
}

type completion struct {
	Choices []struct{ Message struct{ Content string } }
}

// One chat completion. Every sampling value that the model's schema has is set here, or left to its default there.
func ask(api pb.InferenceServiceClient, jobID, text string) error {
	chat := &pb.ChatRequest{
		Messages: []*pb.ChatMessage{{
			Role:    "user",
			Content: []*pb.ContentPart{{Part: &pb.ContentPart_Text{Text: text}}},
		}},
		Sampling: []*pb.SamplingValue{
			{Name: "max_tokens", Value: &pb.SamplingValue_IntValue{IntValue: 256}},
			{Name: "temperature", Value: &pb.SamplingValue_FloatValue{FloatValue: 0.2}},
		},
		AcceptDefaults: true,
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	answer, err := api.Infer(ctx, &pb.InferRequest{
		Selector: &pb.Selector{JobId: jobID}, Request: &pb.InferRequest_Chat{Chat: chat}})
	if err != nil {
		return err
	}
	var parsed completion
	if err := json.Unmarshal(answer.Body, &parsed); err != nil {
		return fmt.Errorf("the service's answer: %w", err)
	}
	if len(parsed.Choices) == 0 {
		return fmt.Errorf("the service's answer has no choices: %s", answer.Body)
	}
	fmt.Println(parsed.Choices[0].Message.Content)
	fmt.Println("asked with", answer.Applied)
	return nil
}

// A status with its details: the reason to branch on, every wrong field, how long to wait.
func describe(err error) string {
	answered, ok := status.FromError(err)
	if !ok {
		return err.Error()
	}
	lines := []string{fmt.Sprintf("%s: %s", answered.Code(), answered.Message())}
	for _, detail := range answered.Details() {
		lines = append(lines, fmt.Sprintf("  %v", detail))
	}
	return strings.Join(lines, "\n")
}
