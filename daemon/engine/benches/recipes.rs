//! What recipes cost after the model has run: the things of a detector's numbers, and a search among embeddings that are
//! known. Processor time of one thread, the median of some rounds; `make bench` prints it beside what is promised.
//!
//!     cargo bench -p edge-engine --bench recipes
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write as _;
use std::hint::black_box;

use edge_engine::bundle::{Head, ObjectsRecipe};
use edge_engine::media::Frame;
use edge_engine::media::embedding::Enrolled;
use edge_engine::media::objects::Objects;
use edge_engine::protocol::{Datatype, TensorSpec};
use edge_engine::tensor::{Answer, AnswerData};
use rustix::time::{ClockId, clock_gettime};

/// Repetitions of a measurement: odd, so that the median is one that happened.
const ROUNDS: usize = 51;
/// YOLO at 640 x 640 with the classes of COCO.
const ANCHORS: usize = 8400;
const CLASSES: usize = 80;
/// Things in the busy picture; each is seen by a dozen anchors, which the suppression has to bring down to one.
const THINGS: usize = 60;
const SEEN_BY: usize = 12;
const KNOWN: usize = 10_000;
const NUMBERS: usize = 512;

/// The same numbers in every run.
struct Noise(u32);

impl Noise {
    /// 0 to 1.
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        f32::from(u16::try_from(self.0 >> 16).unwrap()) / 65_536.0
    }
}

fn cpu_us() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    f64::from(i32::try_from(now.tv_sec).unwrap()) * 1e6 + f64::from(i32::try_from(now.tv_nsec).unwrap()) / 1e3
}

fn median(mut run: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = cpu_us();
            run();
            cpu_us() - start
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}

/// Numbers of all anchors, plane by plane: rectangles, then scores of which those of `sure(anchor)` are high.
fn output(sure: impl Fn(usize) -> Option<(usize, f32)>) -> Vec<f32> {
    let mut noise = Noise(0x9e37_79b9);
    let mut planes = vec![0f32; (4 + CLASSES) * ANCHORS];
    for (at, number) in planes.iter_mut().enumerate() {
        let (number_of, anchor) = (at / ANCHORS, at % ANCHORS);
        // Anchors of one thing lie beside each other.
        let thing = f32::from(u16::try_from(anchor / SEEN_BY).unwrap());
        *number = match (number_of, sure(anchor)) {
            (0, _) => thing % 26.0 * 24.0 + 12.0 + noise.next() * 3.0,
            (1, _) => (thing / 26.0).floor() % 26.0 * 24.0 + 12.0 + noise.next() * 3.0,
            (2 | 3, _) => 20.0 + noise.next() * 4.0,
            (class, Some((wanted, score))) if class == 4 + wanted => score,
            _ => noise.next() * 0.02,
        };
    }
    planes
}

fn detect(sure: impl Fn(usize) -> Option<(usize, f32)>) -> f64 {
    let recipe = ObjectsRecipe {
        labels: (0..CLASSES).map(|class| format!("label {class}")).collect(),
        threshold: 0.25,
        thresholds: [].into(),
        overlap: 0.45,
        across_labels: false,
        max_objects: 300,
        head: Head::Yolo { tensor: "output0".into(), objectness: false, planes: true },
        masks: None,
    };
    let shape = vec![1, i64::try_from(4 + CLASSES).unwrap(), i64::try_from(ANCHORS).unwrap()];
    let spec = TensorSpec { name: "output0".into(), datatype: Datatype::Fp32, shape: shape.clone() };
    let objects = Objects::new(recipe, &[spec]).unwrap();
    let bytes: Vec<u8> = output(sure).iter().flat_map(|number| number.to_ne_bytes()).collect();
    let (width, height) = (1280, 1280);
    let (scaled_width, scaled_height, tensor_width, tensor_height) = (640, 640, 640, 640);
    let frame = Frame { width, height, scaled_width, scaled_height, left: 0, top: 0, tensor_width, tensor_height };
    median(|| {
        let answer = Answer { datatype: Datatype::Fp32, shape: shape.clone(), data: AnswerData::Plain(&bytes) };
        black_box(objects.document(&[answer], 0, frame).unwrap());
    })
}

fn search() -> f64 {
    let mut noise = Noise(0x1234_5678);
    let mut text = String::new();
    for row in 0..KNOWN {
        write!(text, "{{\"label\": \"l{row}\", \"embedding\": [0.5").unwrap();
        (1..NUMBERS).for_each(|_| write!(text, ",{:.4}", noise.next() - 0.5).unwrap());
        text.push_str("]}\n");
    }
    let known = Enrolled::parse(text.as_bytes()).unwrap();
    let length = f32::from(u16::try_from(NUMBERS).unwrap()).sqrt();
    let unit: Vec<f32> = (0..NUMBERS).map(|_| (noise.next() - 0.5) / length).collect();
    median(|| {
        black_box(known.nearest(black_box(&unit), 5, -1.0));
    })
}

fn main() {
    let busy = |anchor: usize| {
        let (thing, place) = (anchor / SEEN_BY, anchor % SEEN_BY);
        let score = 0.9 - 0.05 * f32::from(u16::try_from(place).unwrap());
        (thing < THINGS).then_some((thing % CLASSES, score))
    };
    println!("{:.0} us per busy picture of {ANCHORS} x {}", detect(busy), 4 + CLASSES);
    println!(
        "{:.0} us per picture of noise of {ANCHORS} x {}",
        detect(|anchor| Some((anchor % CLASSES, 0.5))),
        4 + CLASSES
    );
    println!("{:.0} us per search among {KNOWN} x {NUMBERS}", search());
}
