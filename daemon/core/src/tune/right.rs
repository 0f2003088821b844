//! Decides for which kind of request a way may serve, from how right it answers. Must not know what a way is made of, nor
//! how that was found out.

/// What is known of how right a way answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proof {
    /// The golden answers hold.
    pub goldens: bool,
    /// Largest difference of any output from the reference's, as a share of max(1, largest absolute value); `None` if it is not
    /// known.
    pub apart: Option<f64>,
    /// Share of the task's measure that its build is stated to lose, 0..=1.
    pub loss: f64,
}

/// What is accepted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accepted {
    /// Largest stated loss, 0..=1.
    pub loss: f64,
    /// Largest difference from the reference.
    pub apart: f64,
}

/// Whether a build that is stated to lose so much may answer encoded requests. What is no number is too much.
pub fn loses_little(loss: f64, accepted: f64) -> bool {
    loss <= accepted
}

impl Proof {
    /// Whether it may serve encoded requests: it gives the golden answers, and its build loses no more than is accepted.
    pub fn encoded(&self, accepted: &Accepted) -> bool {
        self.goldens && loses_little(self.loss, accepted.loss)
    }

    /// Whether it may serve tensor requests: they may bring anything, so that neither goldens nor a loss on some data say
    /// enough; every output must be close to the reference's.
    pub fn tensors(&self, accepted: &Accepted) -> bool {
        self.apart.is_some_and(|apart| apart <= accepted.apart)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_requests_ask_for_goldens_and_little_loss_and_tensors_for_closeness() {
        let accepted = Accepted { loss: 0.01, apart: 0.02 };
        // goldens, apart, loss: for encoded, for tensors
        let cases = [
            (true, Some(0.0), 0.0, true, true),
            (true, Some(0.02), 0.01, true, true),
            (true, Some(0.021), 0.01, true, false),
            (true, Some(0.0), 0.011, false, true),
            (false, Some(0.0), 0.0, false, true),
            (true, None, 0.0, true, false),
            (true, Some(f64::NAN), f64::NAN, false, false),
            (true, Some(f64::INFINITY), f64::INFINITY, false, false),
        ];
        for (goldens, apart, loss, encoded, tensors) in cases {
            let proof = Proof { goldens, apart, loss };
            assert_eq!((proof.encoded(&accepted), proof.tensors(&accepted)), (encoded, tensors), "{proof:?}");
        }
    }

    #[test]
    fn where_no_loss_is_accepted_only_builds_without_any_serve() {
        let nothing = Accepted { loss: 0.0, apart: 0.0 };
        for loss in [0.0, f64::MIN_POSITIVE, 0.001, 1.0] {
            let proof = Proof { goldens: true, apart: None, loss };
            assert_eq!(proof.encoded(&nothing), loss == 0.0, "{loss}");
        }
    }

    #[test]
    fn who_accepts_more_never_gets_less() {
        let steps = || (0..=20).map(|step| f64::from(step) / 20.0);
        for loss in steps() {
            let proof = Proof { goldens: true, apart: Some(loss), loss };
            let serves = |most: f64| {
                let accepted = Accepted { loss: most, apart: most };
                (proof.encoded(&accepted), proof.tensors(&accepted))
            };
            let all: Vec<_> = steps().map(serves).collect();
            assert!(all.is_sorted(), "{loss}: {all:?}");
        }
    }
}
