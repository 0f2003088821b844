//! Notes when an order begins to make a connection and when it has one. A layer around the connecting of the HTTP client, which
//! runs within the order's own task.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::error::Phase;
use super::meter::Meter;

tokio::task_local! {
    /// The meter of the order whose task this is.
    pub(super) static METER: Arc<Meter>;
}

/// Puts [`Watched`] around the connecting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch;

impl<S> Layer<S> for Watch {
    type Service = Watched<S>;

    fn layer(&self, inner: S) -> Watched<S> {
        Watched { inner }
    }
}

/// Connecting, watched.
#[derive(Clone, Debug)]
pub(super) struct Watched<S> {
    inner: S,
}

impl<S, R> Service<R> for Watched<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, to: R) -> Self::Future {
        // A connection that the client goes on making for whoever comes next belongs to nobody.
        let meter = METER.try_with(Arc::clone).ok();
        if let Some(meter) = &meter {
            meter.connecting();
            meter.enter(Phase::Connecting);
        }
        let connecting = self.inner.call(to);
        Box::pin(async move {
            let connection = connecting.await?;
            if let Some(meter) = meter {
                meter.connected();
            }
            Ok(connection)
        })
    }
}
