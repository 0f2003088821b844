//! The outputs of the chunks of a request, put together in order along dimension 0. Small ones in memory, others in a memory
//! file; what is large in a chunk is copied by a task of its own ([`super::copies`]), so that the driver goes on meanwhile.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use edge_core::Rows;
use edge_engine::memfile;
use edge_engine::protocol::{INLINE_BYTES, Want};
use rustix::fs::MemfdFlags;

use super::copies::Copy;
use crate::driver::results::read_all;
use crate::request::{Blob, TensorOut};

/// The outputs of a divided request in the making.
#[derive(Debug)]
pub struct Join {
    rows: u32,
    want: Want,
    /// Like those of the first chunk that came.
    outputs: Vec<Growing>,
}

/// One output, with room for all rows.
#[derive(Debug)]
struct Growing {
    /// As it will be handed out, but for its bytes.
    like: TensorOut,
    /// Bytes of one row.
    row: usize,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Memory(Vec<u8>),
    File(Arc<OwnedFd>, u64),
}

impl Join {
    /// For a request of so many rows.
    pub fn new(rows: u32, want: Want) -> Join {
        Join { rows, want, outputs: Vec::new() }
    }

    /// Takes the outputs of one chunk; gives back what is left to be copied of them. The error says what is wrong with them.
    pub fn take(&mut self, rows: Rows, tensors: Vec<TensorOut>) -> Result<Vec<Copy>, String> {
        if self.outputs.is_empty() {
            let growing = |tensor: &TensorOut| Growing::new(tensor, rows, self.rows, self.want);
            self.outputs = tensors.iter().map(growing).collect::<Result<_, _>>()?;
        }
        if tensors.len() != self.outputs.len() {
            return Err(format!("{} outputs, and {} of another chunk", tensors.len(), self.outputs.len()));
        }
        let taken = self.outputs.iter_mut().zip(tensors).map(|(output, tensor)| output.take(rows, tensor));
        taken.filter_map(Result::transpose).collect()
    }

    /// The outputs as the caller wants them, when all chunks were taken and copied.
    pub fn finish(self) -> Result<Vec<TensorOut>, String> {
        let rows = i64::from(self.rows);
        self.outputs.into_iter().map(|output| output.finish(rows)).collect()
    }
}

impl Growing {
    fn new(tensor: &TensorOut, rows: Rows, all: u32, want: Want) -> Result<Growing, String> {
        check_rows(tensor, rows)?;
        let failed = |what: &str| format!("output {}: {what}", tensor.name);
        let row =
            usize::try_from(tensor.data.len()).ok().and_then(|len| len.checked_div(usize::try_from(rows.count).ok()?));
        let all = usize::try_from(all).ok();
        let len = row.zip(all).and_then(|(row, all)| row.checked_mul(all));
        let (Some(row), Some(len)) = (row, len) else { return Err(failed("too large for this machine")) };
        let body = if want == Want::Inline && len <= INLINE_BYTES {
            Body::Memory(vec![0; len])
        } else {
            let file = file(len as u64).map_err(|error| failed(&format!("make a memfd of {len} bytes: {error}")))?;
            Body::File(Arc::new(file), len as u64)
        };
        let like = TensorOut { data: Blob::Inline(Bytes::new()), ..tensor.clone() };
        Ok(Growing { like, row, body })
    }

    /// Puts the rows of a chunk in their place, or says what is to be copied there.
    fn take(&mut self, rows: Rows, tensor: TensorOut) -> Result<Option<Copy>, String> {
        check_rows(&tensor, rows)?;
        let name = &self.like.name;
        let (is, other) = (tensor.shape.get(1..), self.like.shape.get(1..));
        if is != other || tensor.datatype != self.like.datatype {
            return Err(format!(
                "output {name}: rows of {} {:?}, and of another chunk {} {:?}",
                tensor.datatype.as_str(),
                is.unwrap_or_default(),
                self.like.datatype.as_str(),
                other.unwrap_or_default()
            ));
        }
        let place = |row: u32| usize::try_from(row).ok().and_then(|row| row.checked_mul(self.row));
        let range =
            place(rows.first).zip(place(rows.count)).and_then(|(from, len)| Some((from, from.checked_add(len)?)));
        let Some((from, to)) = range.filter(|(from, to)| (to - from) as u64 == tensor.data.len()) else {
            return Err(format!("output {name}: {} bytes for {} rows", tensor.data.len(), rows.count));
        };
        let failed = |error: std::io::Error| format!("output {name}: put rows together: {error}");
        match (&mut self.body, tensor.data) {
            (Body::Memory(all), data) => {
                let bytes = match &data {
                    Blob::Inline(bytes) => bytes.clone(),
                    Blob::Sealed { fd, offset, len } => read_all(fd, *offset, *len).map_err(failed)?.into(),
                    Blob::Unsealed { .. } => return Err(format!("output {name}: in an unsealed file")),
                };
                let place = all.get_mut(from..to).filter(|place| place.len() == bytes.len());
                place.ok_or_else(|| format!("output {name}: more rows than asked"))?.copy_from_slice(&bytes);
                Ok(None)
            }
            (Body::File(file, _), Blob::Inline(bytes)) => {
                super::copies::write_all(file, &bytes, from as u64).map_err(failed)?;
                Ok(None)
            }
            (Body::File(file, _), Blob::Sealed { fd, offset, len }) => {
                Ok(Some(Copy { from: fd, offset, len, to: file.clone(), at: from as u64 }))
            }
            (Body::File(..), Blob::Unsealed { .. }) => Err(format!("output {name}: in an unsealed file")),
        }
    }

    fn finish(self, rows: i64) -> Result<TensorOut, String> {
        let mut whole = self.like;
        if let Some(first) = whole.shape.first_mut() {
            *first = rows;
        }
        whole.data = match self.body {
            Body::Memory(bytes) => Blob::Inline(bytes.into()),
            Body::File(fd, len) => {
                memfile::seal(&fd).map_err(|error| format!("output {}: seal it: {error}", whole.name))?;
                Blob::Sealed { fd, offset: 0, len }
            }
        };
        Ok(whole)
    }
}

/// A model that says that its rows are independent gives one for each that it got.
fn check_rows(tensor: &TensorOut, rows: Rows) -> Result<(), String> {
    match tensor.shape.first() {
        Some(first) if *first == i64::from(rows.count) => Ok(()),
        Some(_) | None => Err(format!(
            "output {}: shape {:?} for {} rows of the inputs: its bundle must not declare [batching]",
            tensor.name, tensor.shape, rows.count
        )),
    }
}

/// A memory file of zeros that can be sealed.
fn file(len: u64) -> std::io::Result<OwnedFd> {
    let file = rustix::fs::memfd_create("edge-tensor", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::ftruncate(&file, len)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_engine::protocol::Datatype;

    fn rows(first: u32, count: u32) -> Rows {
        Rows { first, count }
    }

    /// An output of rows of `width` bytes, each with its number in it.
    fn output(rows: Rows, width: usize, sealed: bool) -> TensorOut {
        let bytes: Vec<u8> = (rows.first..rows.first + rows.count)
            .flat_map(|row| vec![u8::try_from(row % 251).unwrap(); width])
            .collect();
        let len = bytes.len() as u64;
        let data = match sealed {
            false => Blob::Inline(bytes.into()),
            true => Blob::Sealed { fd: Arc::new(memfile::sealed(&bytes).unwrap()), offset: 0, len },
        };
        let shape = vec![i64::from(rows.count), i64::try_from(width).unwrap()];
        TensorOut { name: "y".into(), datatype: Datatype::Uint8, shape, data }
    }

    fn bytes(tensor: &TensorOut) -> Vec<u8> {
        match &tensor.data {
            Blob::Inline(bytes) => bytes.to_vec(),
            Blob::Sealed { fd, offset, len } => {
                assert_eq!(memfile::check(fd).unwrap(), *len);
                read_all(fd, *offset, *len).unwrap()
            }
            Blob::Unsealed { .. } => panic!("unsealed"),
        }
    }

    #[test]
    fn rows_come_together_in_order_whatever_order_they_come_in_and_wherever_they_lie() {
        for (width, want, in_memory) in [
            (8, Want::Inline, true),
            (8, Want::Sealed, false),
            (4000, Want::Inline, false),
            (4000, Want::Sealed, false),
        ] {
            for sealed in [false, true] {
                let mut join = Join::new(10, want);
                for part in [rows(6, 4), rows(0, 3), rows(3, 3)] {
                    for copy in join.take(part, vec![output(part, width, sealed)]).unwrap() {
                        copy.carry_out().unwrap();
                    }
                }
                let whole = join.finish().unwrap();
                let expected = output(rows(0, 10), width, false);
                assert_eq!((whole.len(), &whole[0].shape), (1, &expected.shape));
                assert_eq!(bytes(&whole[0]), bytes(&expected), "{width} {want:?} {sealed}");
                assert_eq!(matches!(whole[0].data, Blob::Inline(_)), in_memory);
            }
        }
    }

    #[test]
    fn what_does_not_fit_together_is_named() {
        let part = rows(0, 3);
        let shaped = |shape: &[i64]| TensorOut { shape: shape.into(), ..output(part, 4, false) };
        let other = TensorOut { datatype: Datatype::Int8, ..output(rows(3, 3), 4, false) };
        let cases = [
            (rows(3, 3), vec![shaped(&[2, 4])], "output y: shape [2, 4] for 3 rows of the inputs"),
            (rows(3, 3), vec![shaped(&[])], "output y: shape [] for 3 rows"),
            (rows(3, 3), vec![shaped(&[3, 5])], "output y: rows of UINT8 [5], and of another chunk UINT8 [4]"),
            (rows(3, 3), vec![other], "output y: rows of INT8 [4]"),
            (rows(3, 3), vec![shaped(&[3, 4]), shaped(&[3, 4])], "2 outputs, and 1 of another chunk"),
            (
                rows(3, 2),
                vec![TensorOut { shape: vec![2, 4], ..output(part, 4, false) }],
                "output y: 12 bytes for 2 rows",
            ),
            (rows(9, 3), vec![output(rows(9, 3), 4, false)], "output y: more rows than asked"),
        ];
        for (at, tensors, part_of) in cases {
            let mut join = Join::new(10, Want::Inline);
            join.take(part, vec![output(part, 4, false)]).unwrap();
            let error = join.take(at, tensors).unwrap_err();
            assert!(error.starts_with(part_of), "{error}");
        }
        let error = Join::new(10, Want::Inline).take(part, vec![shaped(&[300, 4])]).unwrap_err();
        assert!(error.contains("shape [300, 4] for 3 rows"), "{error}");
    }
}
