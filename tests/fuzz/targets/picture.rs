//! A picture: whatever the header claims, it unpacks within the limit of pixels to exactly the size that the tensor has.
#![no_main]

use std::sync::LazyLock;

use edge_engine::bundle::{Channels, ImageRecipe, SceneRecipe, WhenWider};
use edge_engine::media::line::Lines;
use edge_engine::media::scene::Scenes;
use edge_engine::protocol::Datatype;
use libfuzzer_sys::fuzz_target;

const HEIGHT: u32 = 48;
/// Small, so that time goes into headers and not into pixels.
const PIXELS: u64 = 1 << 18;

static REFUSE: LazyLock<Lines> = LazyLock::new(|| lines(WhenWider::Refuse));
static SQUEEZE: LazyLock<Lines> = LazyLock::new(|| lines(WhenWider::Squeeze));
static SCENES: LazyLock<Scenes> = LazyLock::new(scenes);

fuzz_target!(|payload: &[u8]| {
    let kind = if payload.starts_with(b"\x89PNG") { "image/png" } else { "image/jpeg" };
    for pictures in [&*REFUSE, &*SQUEEZE] {
        let Ok(picture) = pictures.decode(kind, payload) else { continue };
        assert!((1..=picture.padded).contains(&picture.width) && (320..=640).contains(&picture.padded));
        assert_eq!(picture.rgb.len(), (picture.width * HEIGHT * 3) as usize);
        let filled = pictures.fill(&picture);
        assert_eq!(filled.shape, [1, 3, i64::from(HEIGHT), i64::from(picture.padded)]);
        assert!(pictures.cost(&picture) >= 1);
    }
    if let Ok(scene) = SCENES.decode(kind, payload) {
        let frame = scene.frame;
        assert_eq!(scene.rgb.len(), (frame.scaled_width * frame.scaled_height * 3) as usize);
        let shape = [1, 3, i64::from(frame.tensor_height), i64::from(frame.tensor_width)];
        assert_eq!(SCENES.fill(&scene).shape, shape);
        assert!(frame.tensor_width * frame.tensor_height <= 128 * 128 && SCENES.cost(&scene) >= 1);
    }
});

fn scenes() -> Scenes {
    let recipe = SceneRecipe {
        tensor: "x".into(),
        step: 32,
        min_side: 64,
        max_side: 256,
        max_pixels: 128 * 128,
        channels: Channels::Bgr,
        mean: [0.5; 3],
        std: [0.5; 3],
    };
    Scenes::new(recipe, PIXELS, Datatype::Fp32)
}

fn lines(when_wider: WhenWider) -> Lines {
    let recipe = ImageRecipe {
        tensor: "x".into(),
        height: HEIGHT,
        min_width: 320,
        max_width: 640,
        width_step: 1,
        when_wider,
        channels: Channels::Bgr,
        mean: [0.5; 3],
        std: [0.5; 3],
    };
    Lines::new(recipe, PIXELS, Datatype::Fp32)
}
