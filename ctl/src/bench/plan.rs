//! Which steps there are: every batch with every number of clients.

/// One step: so many clients ask at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub clients: usize,
    /// Rows of each request; `None` leaves them to the payload or to the shapes.
    pub rows: Option<u64>,
}

/// More than a table on one screen, and at most an hour of the longest steps.
const MOST_STEPS: usize = 60;

/// The steps in the order in which they run: for each batch all numbers of clients.
///
/// # Errors
///
/// There are too many.
pub fn steps(clients: &[u16], batches: &[u16]) -> Result<Vec<Step>, String> {
    let rows: Vec<Option<u64>> =
        if batches.is_empty() { vec![None] } else { batches.iter().map(|rows| Some(u64::from(*rows))).collect() };
    let count = rows.len() * clients.len();
    if count > MOST_STEPS {
        return Err(format!("--clients and --batch make {count} steps; at most {MOST_STEPS}"));
    }
    let step = |rows, clients: &u16| Step { clients: usize::from(*clients), rows };
    Ok(rows.iter().flat_map(|rows| clients.iter().map(move |clients| step(*rows, clients))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_batch_runs_with_every_number_of_clients() {
        let step = |clients, rows| Step { clients, rows };
        assert_eq!(steps(&[1, 4], &[]).unwrap(), [step(1, None), step(4, None)]);
        let both = [step(1, Some(2)), step(4, Some(2)), step(1, Some(8)), step(4, Some(8))];
        assert_eq!(steps(&[1, 4], &[2, 8]).unwrap(), both);
    }

    #[test]
    fn too_many_steps_are_refused_with_their_number() {
        assert_eq!(steps(&[1; 60], &[]).unwrap().len(), 60);
        assert_eq!(steps(&[1; 8], &[1; 8]).unwrap_err(), "--clients and --batch make 64 steps; at most 60");
    }
}
