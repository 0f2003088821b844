//! Shapes of made-up tensors: what `--shape` says, else the smallest sensible size where the model leaves it open.

use edge_wire::dto::TensorInfo;

/// `NAME=1,3,48,320`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub name: String,
    pub sizes: Vec<u64>,
}

/// More dimensions than any model has.
const MOST_DIMENSIONS: usize = 16;
/// The side of a picture whose two sides are both open: what small nets for pictures still work on.
const SIDE: u64 = 64;
const FORM: &str = "an input and its sizes, each at least 1: x=1,3,48,320";

/// Parses the value of `--shape`. A name may hold `=`; what stands behind the last one are the sizes.
pub fn parse(text: &str) -> Result<Asked, String> {
    let (name, sizes) = text.rsplit_once('=').ok_or(FORM)?;
    let sizes: Option<Vec<u64>> =
        sizes.split(',').map(|size| size.parse().ok().filter(|size: &u64| *size > 0)).collect();
    match sizes {
        Some(sizes) if !name.is_empty() && sizes.len() <= MOST_DIMENSIONS => Ok(Asked { name: name.into(), sizes }),
        _ => Err(FORM.into()),
    }
}

/// The shape of one input. `rows` replaces the outermost size, which the model must leave open.
///
/// # Errors
///
/// What is wrong, naming the input: a shape that the model does not take, or no place for the rows.
pub fn complete(input: &TensorInfo, asked: Option<&Asked>, rows: Option<u64>) -> Result<Vec<u64>, String> {
    let mut sizes = match asked {
        Some(asked) => fitting(input, &asked.sizes)?,
        None => smallest(&input.shape),
    };
    let Some(rows) = rows else { return Ok(sizes) };
    let (name, declared) = (&input.name, shown(&input.shape));
    match (input.shape.first(), sizes.first_mut()) {
        (Some(open), Some(first)) if *open < 0 => {
            if asked.is_some() && *first != 1 {
                return Err(format!("--batch sets the outermost size of input {name}, and --shape says {first}"));
            }
            *first = rows;
            Ok(sizes)
        }
        _ => Err(format!("it has no batch dimension: input {name} is {declared}, whose outermost size is not open")),
    }
}

/// How many items one request of these shapes has: the outermost size, if every input leaves it open and all agree; else 1.
pub fn items(inputs: &[TensorInfo], sizes: &[Vec<u64>]) -> u64 {
    let is_open = |input: &TensorInfo| input.shape.first().is_some_and(|size| *size < 0);
    let mut outermost = sizes.iter().filter_map(|sizes| sizes.first().copied());
    match outermost.next() {
        Some(first) if inputs.iter().all(is_open) && outermost.all(|size| size == first) => first,
        _ => 1,
    }
}

/// The asked sizes, if the model takes them.
fn fitting(input: &TensorInfo, asked: &[u64]) -> Result<Vec<u64>, String> {
    let takes = |(declared, size): (&i64, &u64)| *declared < 0 || u64::try_from(*declared) == Ok(*size);
    if input.shape.len() == asked.len() && input.shape.iter().zip(asked).all(takes) {
        return Ok(asked.to_vec());
    }
    let asked: Vec<String> = asked.iter().map(ToString::to_string).collect();
    Err(format!("--shape: input {} is {}, not [{}]", input.name, shown(&input.shape), asked.join(", ")))
}

/// An open size is 1. Only the open side of a picture is as long as the other side: of one column no net makes anything.
fn smallest(declared: &[i64]) -> Vec<u64> {
    let mut sizes: Vec<u64> = declared.iter().map(|size| u64::try_from(*size).unwrap_or(1)).collect();
    let is_colours = |size: i64| matches!(size, 1 | 3 | 4);
    let sides = match declared {
        [_, colours, _, _] if is_colours(*colours) => (2, 3),
        [_, _, _, colours] if is_colours(*colours) => (1, 2),
        _ => return sizes,
    };
    match (declared[sides.0] < 0, declared[sides.1] < 0) {
        (true, true) => (sizes[sides.0], sizes[sides.1]) = (SIDE, SIDE),
        (true, false) => sizes[sides.0] = sizes[sides.1],
        (false, true) => sizes[sides.1] = sizes[sides.0],
        (false, false) => {}
    }
    sizes
}

fn shown(declared: &[i64]) -> String {
    let sizes: Vec<String> =
        declared.iter().map(|size| if *size < 0 { "any".into() } else { size.to_string() }).collect();
    format!("[{}]", sizes.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(shape: &[i64]) -> TensorInfo {
        TensorInfo { name: "x".into(), datatype: "FP32".into(), shape: shape.to_vec() }
    }

    fn asked(sizes: &[u64]) -> Asked {
        Asked { name: "x".into(), sizes: sizes.to_vec() }
    }

    #[test]
    fn a_shape_is_a_name_and_sizes() {
        assert_eq!(parse("x=1,3,48,320"), Ok(asked(&[1, 3, 48, 320])));
        assert_eq!(parse("a=b=2"), Ok(Asked { name: "a=b".into(), sizes: vec![2] }));
        for text in ["", "x", "x=", "=1", "x=0", "x=-1", "x=1,", "x=1;2", "x=1x3", "x=99999999999999999999"] {
            assert_eq!(parse(text), Err(FORM.into()), "{text}");
        }
        assert!(parse(&format!("x={}", ["1"; 17].join(","))).is_err());
    }

    #[test]
    fn open_sizes_are_the_smallest_sensible_ones() {
        let cases: [(&[i64], &[u64]); 9] = [
            (&[], &[]),
            (&[-1], &[1]),
            (&[-1, 2048], &[1, 2048]),
            (&[2, -1, 128], &[2, 1, 128]),
            (&[-1, 3, 48, -1], &[1, 3, 48, 48]),
            (&[-1, 3, -1, 32], &[1, 3, 32, 32]),
            (&[-1, 3, -1, -1], &[1, 3, 64, 64]),
            (&[-1, -1, -1, 3], &[1, 64, 64, 3]),
            (&[-1, -1, -1, -1], &[1, 1, 1, 1]),
        ];
        for (declared, expected) in cases {
            assert_eq!(complete(&input(declared), None, None).unwrap(), expected, "{declared:?}");
        }
    }

    #[test]
    fn an_asked_shape_must_be_one_that_the_model_takes() {
        let line = input(&[-1, 3, 48, -1]);
        assert_eq!(complete(&line, Some(&asked(&[2, 3, 48, 320])), None).unwrap(), [2, 3, 48, 320]);
        for sizes in [&[1, 3, 32, 320][..], &[3, 48, 320], &[]] {
            let fault = complete(&line, Some(&asked(sizes)), None).unwrap_err();
            assert!(fault.starts_with("--shape: input x is [any, 3, 48, any], not ["), "{fault}");
        }
    }

    #[test]
    fn rows_take_the_outermost_place_and_no_other() {
        let line = input(&[-1, 3, 48, -1]);
        assert_eq!(complete(&line, None, Some(8)).unwrap(), [8, 3, 48, 48]);
        assert_eq!(complete(&line, Some(&asked(&[1, 3, 48, 320])), Some(8)).unwrap(), [8, 3, 48, 320]);
        let fault = complete(&line, Some(&asked(&[4, 3, 48, 320])), Some(8)).unwrap_err();
        assert_eq!(fault, "--batch sets the outermost size of input x, and --shape says 4");
        for declared in [&[2, -1, 128][..], &[]] {
            let fault = complete(&input(declared), None, Some(8)).unwrap_err();
            assert!(fault.starts_with("it has no batch dimension: input x is ["), "{fault}");
        }
    }

    #[test]
    fn items_are_counted_only_where_all_inputs_agree_on_them() {
        let open = [input(&[-1, 4]), input(&[-1, 2])];
        assert_eq!(items(&open, &[vec![8, 4], vec![8, 2]]), 8);
        assert_eq!(items(&open, &[vec![8, 4], vec![1, 2]]), 1);
        assert_eq!(items(&[input(&[-1, 4]), input(&[2, -1])], &[vec![2, 4], vec![2, 9]]), 1);
        assert_eq!(items(&[input(&[])], &[vec![]]), 1);
        assert_eq!(items(&[], &[]), 1);
    }
}
