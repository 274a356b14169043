//! The gRPC handlers: decode, ask, encode.

use crate::driver::Ask;
use tokio::sync::{mpsc, oneshot};
use tonic::{Request as Call, Response as Reply, Status};
use twinspan_coordinator_core::{Request, Response};
use twinspan_proto::convert::{ConvertError, join_response};
use twinspan_proto::status::to_status;
use twinspan_proto::v1;
use twinspan_proto::v1::coordinator_server::Coordinator;
use twinspan_types::{Fence, Leave, PartsStored, Quarantine, Ready, Report, ServiceError, Step};

/// What the handlers share.
pub struct Service {
    driver: mpsc::Sender<Ask>,
    config: String,
}

impl Service {
    pub fn new(driver: mpsc::Sender<Ask>, config: String) -> Self {
        Self { driver, config }
    }

    async fn ask(&self, request: Request) -> Result<Response, Status> {
        let (answer, answered) = oneshot::channel();
        let ended = |_| {
            to_status(ServiceError::Unavailable {
                detail: "the coordinator is ending".to_owned(),
            })
        };
        self.driver
            .send(Ask::Request(request, answer))
            .await
            .map_err(|_| ended(()))?;
        answered.await.map_err(|_| ended(()))?.map_err(to_status)
    }
}

fn decoded<T>(result: Result<T, ConvertError>) -> Result<T, Status> {
    result.map_err(|error| to_status(error.into()))
}

/// An answer of another kind than the request's is a fault of this program.
fn mixed_up() -> Status {
    Status::internal("the coordinator's answer does not fit the request")
}

macro_rules! answered {
    ($response:expr, $pattern:pat => $value:expr) => {
        match $response {
            $pattern => Ok(Reply::new($value)),
            _ => Err(mixed_up()),
        }
    };
}

#[tonic::async_trait]
impl Coordinator for Service {
    async fn get_run(
        &self,
        _call: Call<v1::GetRunRequest>,
    ) -> Result<Reply<v1::GetRunResponse>, Status> {
        let config = self.config.clone();
        Ok(Reply::new(v1::GetRunResponse { config }))
    }

    async fn join(&self, call: Call<v1::JoinRequest>) -> Result<Reply<v1::JoinResponse>, Status> {
        let response = self.ask(Request::Join(call.into_inner().into())).await?;
        answered!(response, Response::Joined(joined) => join_response(joined, self.config.clone()))
    }

    async fn get_world(
        &self,
        call: Call<v1::GetWorldRequest>,
    ) -> Result<Reply<v1::GetWorldResponse>, Status> {
        let ready = decoded(Ready::try_from(call.into_inner()))?;
        let response = self.ask(Request::GetWorld(ready)).await?;
        answered!(response, Response::World(world) => world.into())
    }

    async fn extend_lease(
        &self,
        call: Call<v1::ExtendLeaseRequest>,
    ) -> Result<Reply<v1::ExtendLeaseResponse>, Status> {
        let (fence, step) = decoded(<(Fence, Step)>::try_from(call.into_inner()))?;
        let response = self.ask(Request::ExtendLease(fence, step)).await?;
        answered!(response, Response::Lease(through) => v1::ExtendLeaseResponse { through_step: through.0 })
    }

    async fn report(
        &self,
        call: Call<v1::ReportRequest>,
    ) -> Result<Reply<v1::ReportResponse>, Status> {
        let report = decoded(Report::try_from(call.into_inner()))?;
        let response = self.ask(Request::Report(report)).await?;
        answered!(response, Response::Report(reply) => reply.into())
    }

    async fn report_parts(
        &self,
        call: Call<v1::ReportPartsRequest>,
    ) -> Result<Reply<v1::ReportPartsResponse>, Status> {
        let parts = decoded(PartsStored::try_from(call.into_inner()))?;
        let response = self.ask(Request::PartsStored(parts)).await?;
        answered!(response, Response::Parts { committed } => v1::ReportPartsResponse { committed })
    }

    async fn quarantine(
        &self,
        call: Call<v1::QuarantineRequest>,
    ) -> Result<Reply<v1::QuarantineResponse>, Status> {
        let (fence, quarantine) = decoded(<(Fence, Quarantine)>::try_from(call.into_inner()))?;
        let response = self.ask(Request::Quarantine(fence, quarantine)).await?;
        answered!(response, Response::Quarantine { recorded } => v1::QuarantineResponse { recorded })
    }

    async fn leave(
        &self,
        call: Call<v1::LeaveRequest>,
    ) -> Result<Reply<v1::LeaveResponse>, Status> {
        let leave = decoded(Leave::try_from(call.into_inner()))?;
        let response = self.ask(Request::Leave(leave)).await?;
        answered!(response, Response::Left => v1::LeaveResponse {})
    }

    async fn stop(&self, _call: Call<v1::StopRequest>) -> Result<Reply<v1::StopResponse>, Status> {
        let response = self.ask(Request::Stop).await?;
        answered!(response, Response::Stopping => v1::StopResponse {})
    }

    async fn get_status(
        &self,
        _call: Call<v1::GetStatusRequest>,
    ) -> Result<Reply<v1::GetStatusResponse>, Status> {
        let response = self.ask(Request::GetStatus).await?;
        answered!(response, Response::Status(status) => (*status).into())
    }
}
