//! Remembers which outputs the runs of a session have, by the shapes of their inputs, so that memory for large ones can be
//! there before a run and the runtime writes them where the caller will read them. A shape is believed once two runs with
//! the same inputs' shapes agreed; where two differed, outputs depend on more than shapes, and it is never believed again.

use std::collections::VecDeque;

use crate::protocol::Datatype;
use crate::tensor::{self, Answer, Feed};

/// Shapes of inputs that are remembered; the oldest is forgotten.
const REMEMBERED: usize = 32;

/// One output of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    pub datatype: Datatype,
    pub sizes: Vec<i64>,
}

impl Shape {
    /// Bytes of an output of this shape; none for elements that have no fixed size.
    pub fn bytes(&self) -> usize {
        tensor::elements(&self.sizes).and_then(|count| count.checked_mul(self.datatype.size())).unwrap_or(0)
    }
}

/// What is known of the outputs for one set of input shapes.
#[derive(Debug)]
enum Known {
    Once(Vec<Shape>),
    Believed(Vec<Shape>),
    Varies,
}

/// What was seen of the outputs of a session.
#[derive(Debug, Default)]
pub struct Outputs {
    seen: VecDeque<(Vec<i64>, Known)>,
}

impl Outputs {
    /// The outputs that a run on these inputs will have, if that is known.
    pub fn expected(&self, feeds: &[Feed<'_>]) -> Option<&[Shape]> {
        match self.seen.iter().find(|row| is_of(&row.0, feeds)) {
            Some((_, Known::Believed(shapes))) => Some(shapes),
            Some((_, Known::Once(_) | Known::Varies)) | None => None,
        }
    }

    /// A run on these inputs had these outputs.
    pub fn learn(&mut self, feeds: &[Feed<'_>], answers: &[Answer<'_>]) {
        let same = |shapes: &[Shape]| {
            shapes.len() == answers.len()
                && shapes
                    .iter()
                    .zip(answers)
                    .all(|(shape, answer)| shape.datatype == answer.datatype && shape.sizes == answer.shape)
        };
        match self.seen.iter_mut().find(|row| is_of(&row.0, feeds)).map(|row| &mut row.1) {
            Some(known @ Known::Once(_)) => {
                let Known::Once(shapes) = std::mem::replace(known, Known::Varies) else { return };
                if same(&shapes) {
                    *known = Known::Believed(shapes);
                }
            }
            Some(known @ Known::Believed(_)) => {
                if matches!(known, Known::Believed(shapes) if !same(shapes)) {
                    *known = Known::Varies;
                }
            }
            Some(Known::Varies) => {}
            None => {
                let shape = |answer: &Answer<'_>| Shape { datatype: answer.datatype, sizes: answer.shape.clone() };
                self.insert(key(feeds), Known::Once(answers.iter().map(shape).collect()));
            }
        }
    }

    /// A run on these inputs had other outputs than were expected.
    pub fn varies(&mut self, feeds: &[Feed<'_>]) {
        if let Some(row) = self.seen.iter_mut().find(|row| is_of(&row.0, feeds)) {
            row.1 = Known::Varies;
        }
    }

    fn insert(&mut self, key: Vec<i64>, known: Known) {
        if self.seen.len() >= REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back((key, known));
    }
}

/// All shapes, one after the other: the number of inputs and of their dimensions is the session's.
fn key(feeds: &[Feed<'_>]) -> Vec<i64> {
    feeds.iter().flat_map(|feed| feed.shape).copied().collect()
}

fn is_of(key: &[i64], feeds: &[Feed<'_>]) -> bool {
    key.iter().eq(feeds.iter().flat_map(|feed| feed.shape))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::AnswerData;

    fn feed(shape: &[i64]) -> [Feed<'_>; 1] {
        [Feed { datatype: Datatype::Fp32, shape, bytes: &[] }]
    }

    fn answer(shape: &[i64]) -> [Answer<'static>; 1] {
        [Answer { datatype: Datatype::Fp32, shape: shape.to_vec(), data: AnswerData::Plain(&[]) }]
    }

    fn sizes<'a>(outputs: &'a Outputs, inputs: &[i64]) -> Option<&'a [i64]> {
        outputs.expected(&feed(inputs)).map(|shapes| shapes[0].sizes.as_slice())
    }

    #[test]
    fn a_shape_is_believed_when_two_runs_agreed_and_until_one_differs() {
        let mut outputs = Outputs::default();
        outputs.learn(&feed(&[1, 8]), &answer(&[1, 4]));
        assert_eq!(sizes(&outputs, &[1, 8]), None);
        outputs.learn(&feed(&[1, 8]), &answer(&[1, 4]));
        outputs.learn(&feed(&[1, 16]), &answer(&[1, 8]));
        assert_eq!((sizes(&outputs, &[1, 8]), sizes(&outputs, &[1, 16])), (Some(&[1, 4][..]), None));
        outputs.learn(&feed(&[1, 8]), &answer(&[1, 5]));
        for _ in 0..3 {
            assert_eq!(sizes(&outputs, &[1, 8]), None);
            outputs.learn(&feed(&[1, 8]), &answer(&[1, 5]));
        }
        outputs.learn(&feed(&[1, 16]), &answer(&[1, 9]));
        outputs.learn(&feed(&[1, 16]), &answer(&[1, 9]));
        assert_eq!(sizes(&outputs, &[1, 16]), None);
    }

    #[test]
    fn what_was_refused_is_not_expected_again_and_what_is_remembered_is_bounded() {
        let mut outputs = Outputs::default();
        for _ in 0..2 {
            outputs.learn(&feed(&[1, 8]), &answer(&[1, 4]));
        }
        outputs.varies(&feed(&[1, 8]));
        outputs.learn(&feed(&[1, 8]), &answer(&[1, 4]));
        assert_eq!(sizes(&outputs, &[1, 8]), None);
        for size in 0..1_000 {
            outputs.learn(&feed(&[size]), &answer(&[size]));
            outputs.learn(&feed(&[size]), &answer(&[size]));
            assert_eq!(sizes(&outputs, &[size]), Some(&[size][..]));
        }
        assert_eq!((outputs.seen.len(), sizes(&outputs, &[1])), (REMEMBERED, None));
    }

    #[test]
    fn bytes_are_those_of_elements_of_fixed_size() {
        for (datatype, sizes, bytes) in [
            (Datatype::Fp32, &[2, 3][..], 24),
            (Datatype::Uint8, &[], 1),
            (Datatype::Bytes, &[4], 0),
            (Datatype::Fp64, &[i64::MAX, 2], 0),
        ] {
            assert_eq!(Shape { datatype, sizes: sizes.to_vec() }.bytes(), bytes);
        }
    }
}
