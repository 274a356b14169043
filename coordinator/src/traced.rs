//! Calls that belong to a traced step are spans of it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tower::{Layer, Service};
use twinspan_telemetry::{Span, SpanContext, SpanId, SpanKind, TRACEPARENT, export, since_1970};

/// Wraps the service.
#[derive(Debug, Clone, Copy)]
pub struct TraceCalls;

/// The service, with a span for each call that says to be traced.
#[derive(Debug, Clone)]
pub struct Traced<S>(S);

impl<S> Layer<S> for TraceCalls {
    type Service = Traced<S>;

    fn layer(&self, service: S) -> Traced<S> {
        Traced(service)
    }
}

type Answering<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

impl<S> Service<Request<Body>> for Traced<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Answering<S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let header = request.headers().get(TRACEPARENT);
        let header = header.and_then(|header| header.to_str().ok());
        let caller = header.and_then(SpanContext::from_traceparent);
        let caller = caller.filter(|caller| caller.sampled);
        let name = caller.map(|_| request.uri().path().trim_start_matches('/').to_owned());
        let (start, begun) = (since_1970(), Instant::now());
        let answering = self.0.call(request);
        Box::pin(async move {
            let answer = answering.await;
            if let Some((caller, name)) = caller.zip(name) {
                let context = SpanContext {
                    span: SpanId::random(),
                    ..caller
                };
                let time = (start, begun.elapsed());
                let mut span = Span::internal(context, Some(caller.span), name, time);
                span.kind = SpanKind::Server;
                span.attributes.push(("rpc.system", "grpc".into()));
                export(span);
            }
            answer
        })
    }
}
