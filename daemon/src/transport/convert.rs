//! Plain functions between the words of the wire and those of the core and the engine.

use crate::request::Failure;

/// The shape of input `name` as the driver takes it; sizes that no tensor can have are named here, sizes that the model
/// does not take are named by the driver.
pub fn shape_in(name: &str, shape: &[u64]) -> Result<Vec<i64>, Failure> {
    let size = |(place, size): (usize, &u64)| {
        i64::try_from(*size).map_err(|_| {
            let most = i64::MAX;
            Failure::invalid(format!("inputs.{name}.shape[{place}]: {size} given: takes 1 to {most}"))
        })
    };
    shape.iter().enumerate().map(size).collect()
}

/// The shape of an output as it crosses the wire. A result has no negative sizes; if it did, that would be our fault.
pub fn shape_out(name: &str, shape: &[i64]) -> Result<Vec<u64>, Failure> {
    let size = |size: &i64| {
        u64::try_from(*size).map_err(|_| {
            Failure::new(edge_wire::error::ErrorCode::Internal, format!("output {name} has a dimension of {size}"))
        })
    };
    shape.iter().map(size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_beyond_what_a_tensor_can_have_is_named_with_its_place() {
        assert_eq!(shape_in("x", &[1, 3, 48]).unwrap(), [1, 3, 48]);
        assert_eq!(shape_in("x", &[0]).unwrap(), [0]);
        let failure = shape_in("x", &[1, 1 << 63]).unwrap_err();
        assert_eq!(failure.message, "inputs.x.shape[1]: 9223372036854775808 given: takes 1 to 9223372036854775807");
    }

    #[test]
    fn a_negative_size_never_leaves() {
        assert_eq!(shape_out("y", &[1, 2]).unwrap(), [1, 2]);
        assert!(shape_out("y", &[-1]).is_err());
    }
}
