//! Shards that a run has given up.

use super::{ConvertError, required, try_all};
use crate::v1;
use twinspan_types::{Cursor, Fence, Quarantine, ShardId, StreamId};

impl From<(StreamId, Cursor)> for v1::StreamEnd {
    fn from((stream, end): (StreamId, Cursor)) -> Self {
        Self {
            stream: stream.0,
            end: Some(end.into()),
        }
    }
}

impl TryFrom<v1::StreamEnd> for (StreamId, Cursor) {
    type Error = ConvertError;

    fn try_from(wire: v1::StreamEnd) -> Result<Self, ConvertError> {
        let end = required(wire.end, "StreamEnd.end")?;
        Ok((StreamId(wire.stream), end.into()))
    }
}

impl From<Quarantine> for v1::Quarantine {
    fn from(quarantine: Quarantine) -> Self {
        Self {
            shard: quarantine.shard.0,
            url: quarantine.url,
            samples: quarantine.samples,
            reason: quarantine.reason,
            from: quarantine.from.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::Quarantine> for Quarantine {
    type Error = ConvertError;

    fn try_from(wire: v1::Quarantine) -> Result<Self, ConvertError> {
        Ok(Self {
            shard: ShardId(wire.shard),
            url: wire.url,
            samples: wire.samples,
            reason: wire.reason,
            from: try_all(wire.from)?,
        })
    }
}

impl TryFrom<v1::QuarantineRequest> for (Fence, Quarantine) {
    type Error = ConvertError;

    fn try_from(wire: v1::QuarantineRequest) -> Result<Self, ConvertError> {
        let fence = required(wire.fence, "QuarantineRequest.fence")?;
        let quarantine = required(wire.quarantine, "QuarantineRequest.quarantine")?;
        Ok((fence.into(), quarantine.try_into()?))
    }
}
