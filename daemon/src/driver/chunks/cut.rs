//! The inputs of a chunk: the rows of its request's tensors, where they lie, not copied. Pure; must not know the core.

use edge_core::Rows;
use edge_engine::protocol::{Datatype, LoadedModel};

use crate::request::{Blob, TensorIn};

/// How many rows of these inputs, which were checked against the model, may run at once, if they may run apart from each other:
/// all ways to run the model say so, and both inputs and outputs can be cut at rows without a look at their elements. Strings
/// have no fixed size, so a request with any of them runs as it is; so does one that is outside a shape profile, to be refused.
pub fn most_rows<'a>(given: &[TensorIn], ways: impl Iterator<Item = &'a LoadedModel>) -> Option<u32> {
    let can_be_cut = |tensor: &TensorIn| match tensor.data {
        Blob::Inline(_) | Blob::Sealed { .. } => true,
        // A plain file is read as a whole.
        Blob::Unsealed { .. } => false,
    };
    if !given.iter().all(can_be_cut) {
        return None;
    }
    let most = |way: &LoadedModel| {
        let mut specs = way.inputs.iter().chain(&way.outputs);
        let within =
            given.iter().all(|tensor| tensor.shape.first().is_none_or(|rows| *rows <= way.profile_rows.into()));
        way.most_rows.filter(|_| within && specs.all(|spec| spec.datatype != Datatype::Bytes))
    };
    let mut least: Option<u32> = None;
    for way in ways {
        let rows = most(way)?;
        least = Some(least.map_or(rows, |least| least.min(rows)));
    }
    least
}

/// These rows of a request's tensors; `None` if they have not as many.
pub fn inputs(given: &[TensorIn], rows: Rows) -> Option<Vec<TensorIn>> {
    given.iter().map(|tensor| input(tensor, rows)).collect()
}

fn input(tensor: &TensorIn, rows: Rows) -> Option<TensorIn> {
    let all = u64::try_from(*tensor.shape.first()?).ok()?;
    let row = tensor.data.len().checked_div(all)?;
    let end = u64::from(rows.first).checked_add(u64::from(rows.count)).filter(|end| *end <= all)?;
    let (from, to) = (u64::from(rows.first).checked_mul(row)?, end.checked_mul(row)?);
    let data = match &tensor.data {
        Blob::Inline(bytes) => {
            let range = usize::try_from(from).ok()?..usize::try_from(to).ok()?;
            // Slicing beyond the end would panic.
            bytes.get(range.clone())?;
            Blob::Inline(bytes.slice(range))
        }
        Blob::Sealed { fd, offset, len } => {
            let offset = offset.checked_add(from).filter(|_| to <= *len)?;
            Blob::Sealed { fd: fd.clone(), offset, len: to - from }
        }
        Blob::Unsealed { .. } => return None,
    };
    let mut shape = tensor.shape.clone();
    *shape.first_mut()? = i64::from(rows.count);
    Some(TensorIn { name: tensor.name.clone(), datatype: tensor.datatype.clone(), shape, data })
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_engine::protocol::TensorSpec;
    use std::sync::Arc;

    fn tensor(shape: &[i64], data: Blob) -> TensorIn {
        TensorIn { name: "x".into(), datatype: "UINT16".into(), shape: shape.into(), data }
    }

    fn inline(bytes: u8) -> Blob {
        Blob::Inline((0..bytes).collect::<Vec<u8>>().into())
    }

    fn sealed() -> Blob {
        let file = edge_engine::memfile::sealed(&[0; 64]).unwrap();
        Blob::Sealed { fd: Arc::new(file), offset: 8, len: 40 }
    }

    #[test]
    fn rows_are_slices_of_what_the_caller_gave() {
        let given = [tensor(&[5, 2, 2], inline(40)), tensor(&[5, 1], inline(10))];
        let cut = inputs(&given, Rows { first: 1, count: 3 }).unwrap();
        assert_eq!((&cut[0].shape[..], &cut[1].shape[..]), (&[3, 2, 2][..], &[3, 1][..]));
        let (Blob::Inline(all), Blob::Inline(part), Blob::Inline(other)) = (&given[0].data, &cut[0].data, &cut[1].data)
        else {
            panic!("{cut:?}")
        };
        assert_eq!(
            (part[..].to_vec(), other[..].to_vec()),
            ((8..32).collect::<Vec<u8>>(), (2..8).collect::<Vec<u8>>())
        );
        assert_eq!(part.as_ptr(), all[8..].as_ptr(), "the same memory");
        let cut = inputs(&[tensor(&[5, 2, 2], sealed())], Rows { first: 4, count: 1 }).unwrap();
        assert!(matches!(cut[0].data, Blob::Sealed { offset: 40, len: 8, .. }), "{cut:?}");
    }

    #[test]
    fn rows_that_there_are_not_are_not_cut() {
        for (first, count) in [(0, 6), (5, 1), (3, 3), (u32::MAX, u32::MAX)] {
            for data in [inline(40), sealed()] {
                assert!(inputs(&[tensor(&[5, 2, 2], data)], Rows { first, count }).is_none(), "{first} {count}");
            }
        }
        assert!(inputs(&[tensor(&[0], inline(0))], Rows { first: 0, count: 0 }).is_none());
        assert!(inputs(&[tensor(&[], inline(2))], Rows { first: 0, count: 1 }).is_none());
    }

    #[test]
    fn only_rows_of_fixed_size_that_may_run_apart_are_divided() {
        let spec = |datatype| TensorSpec { name: "x".into(), datatype, shape: vec![-1, 2] };
        let model = |most_rows, input, output| LoadedModel {
            most_rows,
            profile_rows: u32::MAX,
            inputs: vec![spec(input)],
            outputs: vec![spec(output)],
            ..LoadedModel::default()
        };
        let file = Arc::new(std::fs::File::open("/dev/null").unwrap().into());
        let unsealed = Blob::Unsealed { fd: file, max_len: 40 };
        use Datatype::{Bytes, Fp32};
        for (most, input, output, data, expected) in [
            (Some(9), Fp32, Fp32, inline(40), Some(9)),
            (Some(9), Fp32, Fp32, sealed(), Some(9)),
            (Some(9), Fp32, Fp32, unsealed, None),
            (None, Fp32, Fp32, inline(40), None),
            (Some(9), Bytes, Fp32, inline(40), None),
            (Some(9), Fp32, Bytes, inline(40), None),
        ] {
            let (way, given) = (model(most, input, output), [tensor(&[5, 2, 2], data)]);
            assert_eq!(most_rows(&given, [&way].into_iter()), expected, "{way:?} {given:?}");
            let other = model(Some(4), Fp32, Fp32);
            assert_eq!(most_rows(&given, [&way, &other].into_iter()), expected.map(|_| 4));
        }
        let given = [tensor(&[5, 2, 2], inline(40))];
        assert_eq!(most_rows(&given, [].into_iter()), None);
        for (profile_rows, expected) in [(4, None), (5, Some(9))] {
            let way = LoadedModel { profile_rows, ..model(Some(9), Fp32, Fp32) };
            assert_eq!(most_rows(&given, [&way].into_iter()), expected, "a profile up to {profile_rows}");
        }
    }
}
