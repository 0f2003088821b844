//! Where the pieces of an answer go. Several sites may be asked for one answer; all its pieces come from the one that has the first.

use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;

use super::Chunk;

/// The way to the caller, shared by all orders for one answer.
#[derive(Clone, Debug)]
pub struct Pieces {
    out: mpsc::Sender<Chunk>,
    /// The order whose answer it is.
    owner: Arc<OnceLock<u64>>,
    /// Who is told of the owner.
    begun: Option<mpsc::Sender<u64>>,
}

impl Pieces {
    /// The first piece settles whose answer it is.
    pub fn new(out: mpsc::Sender<Chunk>) -> Pieces {
        Pieces { out, owner: Arc::default(), begun: None }
    }

    /// Also says so, by the ticket.
    #[must_use]
    pub fn telling(self, begun: mpsc::Sender<u64>) -> Pieces {
        Pieces { begun: Some(begun), ..self }
    }

    /// The ticket of the order whose answer it is, if one has begun.
    pub fn owner(&self) -> Option<u64> {
        self.owner.get().copied()
    }

    /// Makes it the answer of this order; `false` if it is that of another one.
    pub fn claim(&self, ticket: u64) -> bool {
        *self.owner.get_or_init(|| ticket) == ticket
    }

    /// Passes a piece on, when there is room; `false` if nobody listens any more, or if it is the answer of another order.
    pub async fn send(&self, chunk: Chunk) -> bool {
        if self.owner.set(chunk.ticket).is_ok()
            && let Some(begun) = &self.begun
            && begun.try_send(chunk.ticket).is_err()
        {
            // Whoever takes the end of an order asks for the owner as well.
            tracing::debug!(ticket = chunk.ticket, "nobody is told that an answer has begun");
        }
        self.claim(chunk.ticket) && self.out.send(chunk).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(ticket: u64) -> Chunk {
        Chunk { ticket, json: "{}".into() }
    }

    #[tokio::test]
    async fn all_pieces_are_of_the_order_that_had_the_first() {
        let (out, mut chunks) = mpsc::channel(8);
        let (begun, mut told) = mpsc::channel(8);
        let pieces = Pieces::new(out).telling(begun);
        assert_eq!(pieces.owner(), None);
        let sent = [pieces.send(chunk(2)).await, pieces.send(chunk(1)).await, pieces.send(chunk(2)).await];
        assert_eq!((sent, pieces.owner()), ([true, false, true], Some(2)));
        assert_eq!((pieces.claim(2), pieces.claim(1)), (true, false));
        let mut came = Vec::new();
        while let Ok(chunk) = chunks.try_recv() {
            came.push(chunk.ticket);
        }
        assert_eq!(came, [2, 2]);
        assert_eq!((told.try_recv(), told.try_recv().is_err()), (Ok(2), true), "told once");
        drop(chunks);
        assert!(!pieces.send(chunk(2)).await, "nobody listens");
    }
}
