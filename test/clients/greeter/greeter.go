// Package greeter is the gRPC service hello.Greeter, as protoc would write it for
//
//	service Greeter { rpc SayHello(google.protobuf.StringValue) returns (google.protobuf.StringValue); }
package greeter

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	name   = "hello.Greeter"
	method = "SayHello"
)

// Server answers a name with a greeting.
type Server interface {
	SayHello(ctx context.Context, name string) (string, error)
}

// Register has a gRPC server serve it.
func Register(r grpc.ServiceRegistrar, s Server) {
	r.RegisterService(&grpc.ServiceDesc{
		ServiceName: name, HandlerType: (*Server)(nil),
		Methods: []grpc.MethodDesc{{MethodName: method, Handler: serve}},
	}, s)
}

func serve(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	in := new(wrapperspb.StringValue)
	if err := decode(in); err != nil {
		return nil, err
	}
	out, err := srv.(Server).SayHello(ctx, in.GetValue())
	if err != nil {
		return nil, err
	}
	return wrapperspb.String(out), nil
}

// SayHello asks a server for a greeting.
func SayHello(ctx context.Context, conn grpc.ClientConnInterface, who string) (string, error) {
	out := new(wrapperspb.StringValue)
	err := conn.Invoke(ctx, "/"+name+"/"+method, wrapperspb.String(who), out)
	return out.GetValue(), err
}
