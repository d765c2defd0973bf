fn main() -> Result<(), grpc_threads::build::Error> {
    grpc_threads::build::compile_protos(&["proto/warehouse.proto"], &["proto"])
}
