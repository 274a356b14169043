//! Generates the messages, the client and the server from the contract, without a protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=twinspan.proto");
    let files = protox::compile(["twinspan.proto"], ["."])?;
    tonic_prost_build::configure().compile_fds(files)?;
    Ok(())
}
