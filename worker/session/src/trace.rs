//! Calls carry where in a trace they belong, and those of a step that is traced are spans of it.

use std::future::Future;
use tokio::time::Instant;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use twinspan_proto::v1::coordinator_client::CoordinatorClient;
use twinspan_telemetry::{
    Span, SpanContext, SpanId, SpanKind, TraceId, current, export, since_1970,
};

/// A client whose requests carry the context of the call that they are made for.
pub(crate) type Client =
    CoordinatorClient<InterceptedService<Channel, fn(Request<()>) -> Result<Request<()>, Status>>>;

tokio::task_local! {
    static CALL: SpanContext;
}

pub(crate) fn client(channel: Channel) -> Client {
    CoordinatorClient::with_interceptor(channel, propagate)
}

fn propagate(mut request: Request<()>) -> Result<Request<()>, Status> {
    // Outside of a call there is nothing to carry.
    let _ = CALL.try_with(|context| context.inject(request.metadata_mut()));
    Ok(request)
}

/// One attempt of a call, below whatever this process does at the moment.
pub(crate) async fn traced<T>(
    call: &'static str,
    attempt: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<Response<T>, Status> {
    let parent = current();
    let context = SpanContext {
        trace: parent.map_or_else(TraceId::random, |parent| parent.trace),
        span: SpanId::random(),
        sampled: parent.is_some_and(|parent| parent.sampled),
    };
    let (start, begun) = (since_1970(), Instant::now());
    let answer = CALL.scope(context, attempt).await;
    if let Some(parent) = parent.filter(|parent| parent.sampled) {
        let name = format!("twinspan.v1.Coordinator/{call}");
        let mut span = Span::internal(context, Some(parent.span), name, (start, begun.elapsed()));
        span.kind = SpanKind::Client;
        span.attributes.push(("rpc.system", "grpc".into()));
        span.error = answer
            .as_ref()
            .err()
            .map(|status| status.message().to_owned());
        export(span);
    }
    answer
}
