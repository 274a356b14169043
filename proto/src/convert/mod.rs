//! Wire messages to vocabulary and back. What a message must hold and does not is named.

mod quarantine;
mod reports;
mod requests;
mod status;
mod traces;
mod world;

pub use requests::join_response;

/// A message that this build cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// A field that must be set is not.
    #[error("{field} is missing")]
    Missing {
        /// `Message.field`.
        field: &'static str,
    },
    /// A number that stands for nothing.
    #[error("{field} is {value}, which this build does not know")]
    Unknown {
        /// `Message.field`.
        field: &'static str,
        /// What was sent.
        value: i32,
    },
}

impl From<ConvertError> for twinspan_types::ServiceError {
    fn from(error: ConvertError) -> Self {
        Self::Invalid {
            detail: error.to_string(),
        }
    }
}

/// The value of a field that must be set.
fn required<T>(value: Option<T>, field: &'static str) -> Result<T, ConvertError> {
    value.ok_or(ConvertError::Missing { field })
}

/// Converts every element.
fn all<W, T>(values: Vec<W>) -> Vec<T>
where
    T: From<W>,
{
    values.into_iter().map(T::from).collect()
}

/// Converts every element, or names what the first bad one lacks.
fn try_all<W, T>(values: Vec<W>) -> Result<Vec<T>, ConvertError>
where
    T: TryFrom<W, Error = ConvertError>,
{
    values.into_iter().map(T::try_from).collect()
}
