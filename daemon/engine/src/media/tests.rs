//! Tables and properties of what comes before a model.

use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageFormat, Luma, RgbImage, RgbaImage};
use proptest::prelude::*;

use super::line::{Line, Lines};
use super::wav::Mono;
use super::*;
use crate::bundle::{Channels, ClassesRecipe, ImageRecipe, SceneRecipe, WhenWider};

fn recipe(min_width: u32, max_width: u32, when_wider: WhenWider) -> Lines {
    bounded(10_000, min_width, max_width, when_wider)
}

fn bounded(max_pixels: u64, min_width: u32, max_width: u32, when_wider: WhenWider) -> Lines {
    Lines::new(image_recipe(min_width, max_width, when_wider), max_pixels, Datatype::Fp32)
}

fn image_recipe(min_width: u32, max_width: u32, when_wider: WhenWider) -> ImageRecipe {
    ImageRecipe {
        tensor: "x".into(),
        height: 4,
        min_width,
        max_width,
        width_step: 1,
        when_wider,
        channels: Channels::Bgr,
        mean: [0.5; 3],
        std: [0.5; 3],
    }
}

fn encode(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn plain(width: u32, height: u32, colour: [u8; 3]) -> RgbImage {
    RgbImage::from_pixel(width, height, colour.into())
}

fn said(result: Result<impl std::fmt::Debug, MediaError>) -> (ErrorKind, String) {
    let error = result.unwrap_err().into_host_error();
    (error.kind, error.message)
}

#[test]
fn a_picture_keeps_its_aspect_and_is_padded_to_the_right() {
    let images = recipe(8, 16, WhenWider::Refuse);
    let cases =
        [((4, 4), 4, 8), ((8, 2), 16, 16), ((5, 3), 7, 8), ((1, 100), 1, 8), ((65, 20), 13, 13), ((64, 20), 13, 12)];
    for ((width, height), own, padded) in cases {
        let picture = images.decode("image/png", &encode(plain(width, height, [9; 3]), ImageFormat::Png)).unwrap();
        let own = own.min(padded);
        assert_eq!((picture.width, picture.padded), (own, padded), "{width} x {height}");
        assert_eq!(picture.rgb, vec![9; (own * 4 * 3) as usize]);
    }
}

#[test]
fn widths_come_in_steps_where_the_recipe_says_so() {
    let recipe = ImageRecipe { width_step: 4, ..image_recipe(8, 16, WhenWider::Squeeze) };
    let images = Lines::new(recipe, 10_000, Datatype::Fp32);
    for ((width, height), own, padded) in
        [((4, 4), 4, 8), ((9, 4), 9, 12), ((12, 4), 12, 12), ((13, 4), 13, 16), ((40, 4), 16, 16)]
    {
        let picture = images.decode("image/png", &encode(plain(width, height, [9; 3]), ImageFormat::Png)).unwrap();
        assert_eq!((picture.width, picture.padded), (own, padded), "{width} x {height}");
    }
}

#[test]
fn a_picture_that_is_too_wide_is_refused_or_squeezed_as_the_recipe_says() {
    let wide = encode(plain(100, 10, [9; 3]), ImageFormat::Png);
    let (kind, message) = said(recipe(8, 16, WhenWider::Refuse).decode("image/png", &wide));
    assert_eq!(kind, ErrorKind::TooLarge);
    assert_eq!(message, "payload: the picture has 100 x 10 pixels; at height 4 it would be 40 wide, accepted is 16");
    let squeezed = recipe(8, 16, WhenWider::Squeeze).decode("image/png", &wide).unwrap();
    assert_eq!((squeezed.width, squeezed.padded), (16, 16));
}

#[test]
fn values_are_normalised_into_planes_of_the_recipes_order() {
    let images = recipe(3, 16, WhenWider::Refuse);
    let picture = Line { width: 2, padded: 3, rgb: [[255, 0, 51], [0, 255, 51]].concat().repeat(4) };
    let filled = images.fill(&picture);
    assert_eq!(filled.shape, [1, 3, 4, 3]);
    let values = crate::tensor::floats(filled.bytes.as_slice());
    let row = |blue_green_red: usize| &values[blue_green_red * 12..blue_green_red * 12 + 3];
    assert_eq!(row(0), [-0.6, -0.6, 0.0]);
    assert_eq!(row(1), [-1.0, 1.0, 0.0]);
    assert_eq!(row(2), [1.0, -1.0, 0.0]);
}

#[test]
fn transparency_becomes_paper_and_grey_becomes_colour() {
    let images = recipe(4, 16, WhenWider::Refuse);
    let clear = RgbaImage::from_pixel(4, 4, [0, 0, 0, 0].into());
    let half = RgbaImage::from_pixel(4, 4, [0, 0, 0, 128].into());
    let grey = GrayImage::from_pixel(4, 4, Luma([77]));
    for (png, value) in [
        (encode(clear, ImageFormat::Png), 255),
        (encode(half, ImageFormat::Png), 127),
        (encode(grey, ImageFormat::Png), 77),
    ] {
        assert_eq!(images.decode("image/png", &png).unwrap().rgb, vec![value; 48]);
    }
}

/// A JPEG, dark on the left, with this EXIF orientation.
fn oriented(orientation: u8) -> Vec<u8> {
    let mut picture = plain(64, 32, [250; 3]);
    for (x, _, pixel) in picture.enumerate_pixels_mut() {
        if x < 32 {
            pixel.0 = [10; 3];
        }
    }
    let jpeg = encode(picture, ImageFormat::Jpeg);
    let tiff = [b'M', b'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0];
    let exif = [&[0xff, 0xe1, 0, 2 + 6 + 26][..], b"Exif\0\0", &tiff].concat();
    [&jpeg[..2], &exif, &jpeg[2..]].concat()
}

#[test]
fn a_photograph_is_turned_as_its_exif_orientation_says() {
    let images = recipe(2, 16, WhenWider::Refuse);
    // (orientation, width at height 4, whether the left, the right, the top, the bottom is dark)
    let cases = [
        (1, 8, "left"),
        (2, 8, "right"),
        (3, 8, "right"),
        (4, 8, "left"),
        (5, 2, "top"),
        (6, 2, "top"),
        (7, 2, "bottom"),
        (8, 2, "bottom"),
    ];
    for (orientation, width, dark) in cases {
        let picture = images.decode("image/jpeg", &oriented(orientation)).unwrap();
        assert_eq!(picture.width, width, "orientation {orientation}");
        let value = |x: u32, y: u32| picture.rgb[((y * width + x) * 3) as usize];
        let (first, last) = (value(0, 0), value(width - 1, 3));
        let found = match (first < 128, last < 128, width) {
            (true, false, 8) => "left",
            (false, true, 8) => "right",
            (true, false, _) => "top",
            _ => "bottom",
        };
        assert_eq!(found, dark, "orientation {orientation}: {first} {last}");
    }
}

#[test]
fn a_picture_that_would_unpack_too_large_is_refused_by_its_header() {
    let images = recipe(4, 16, WhenWider::Squeeze);
    let png = encode(plain(101, 100, [0; 3]), ImageFormat::Png);
    let (kind, message) = said(images.decode("image/png", &png));
    assert_eq!(kind, ErrorKind::TooLarge);
    assert_eq!(
        message,
        "payload: the picture has 101 x 100 pixels and unpacks to 30300 bytes, accepted are 10000 pixels"
    );

    // 65,000 x 65,000 pixels in a file of a few hundred bytes.
    let mut jpeg = encode(plain(8, 8, [0; 3]), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xfd, 0xe8, 0xfd, 0xe8]);
    let (kind, message) = said(images.decode("image/jpeg", &jpeg));
    assert_eq!((kind, message.contains("65000 x 65000")), (ErrorKind::TooLarge, true), "{message}");
    let mut png = encode(plain(8, 8, [0; 3]), ImageFormat::Png);
    png[16..24].copy_from_slice(&[0, 0, 0xfd, 0xe8, 0, 0, 0xfd, 0xe8]);
    let header = crc32(&png[12..29]).to_be_bytes();
    png[29..33].copy_from_slice(&header);
    assert_eq!(said(images.decode("image/png", &png)).0, ErrorKind::TooLarge);
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[test]
fn pictures_that_are_cut_off_or_something_else_are_refused() {
    let images = recipe(4, 16, WhenWider::Refuse);
    let jpeg = encode(plain(32, 32, [99; 3]), ImageFormat::Jpeg);
    let png = encode(plain(32, 32, [99; 3]), ImageFormat::Png);
    let cases = [
        ("image/jpeg", &jpeg[..jpeg.len() - 2], "payload: the JPEG is truncated"),
        ("image/jpeg", &jpeg[..jpeg.len() / 2], "payload: the "),
        ("image/png", &png[..png.len() - 20], "payload: the picture cannot be decoded"),
        ("image/png", &jpeg, "payload: the bytes are image/jpeg, the content type says image/png"),
        ("image/jpeg", &png, "payload: the bytes are image/png, the content type says image/jpeg"),
        ("image/jpeg", b"hello", "payload: the bytes are no image/jpeg"),
        ("image/png", b"", "payload: the bytes are no image/png"),
    ];
    for (content_type, bytes, expected) in cases {
        let (kind, message) = said(images.decode(content_type, bytes));
        assert_eq!(kind, ErrorKind::InvalidInput, "{message}");
        assert!(message.starts_with(expected), "{message}");
    }
}

fn wav(spec: hound::WavSpec, samples: &[i32]) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
    for sample in samples {
        match spec.sample_format {
            hound::SampleFormat::Int => writer.write_sample(*sample).unwrap(),
            hound::SampleFormat::Float => writer.write_sample(*sample as f32 / 128.0).unwrap(),
        }
    }
    writer.finalize().unwrap();
    bytes.into_inner()
}

fn spec(channels: u16, bits_per_sample: u16) -> hound::WavSpec {
    let sample_format = if bits_per_sample == 0 { hound::SampleFormat::Float } else { hound::SampleFormat::Int };
    hound::WavSpec {
        channels,
        sample_rate: 16_000,
        bits_per_sample: if bits_per_sample == 0 { 32 } else { bits_per_sample },
        sample_format,
    }
}

#[test]
fn samples_of_every_width_have_the_same_scale() {
    for bits in [8u16, 16, 24, 32, 0] {
        let unit = if bits == 0 { 1 } else { 1i32 << (bits - 8) };
        let bytes = wav(spec(1, bits), &[64 * unit, -128 * unit, 0]);
        assert_eq!(wav::read(&bytes, 60).unwrap(), Mono { rate: 16_000, samples: vec![0.5, -1.0, 0.0] }, "{bits} bits");
    }
}

#[test]
fn channels_are_mixed_by_their_mean() {
    let bytes = wav(spec(2, 16), &[16_384, 0, -16_384, 16_384]);
    assert_eq!(wav::read(&bytes, 60).unwrap().samples, [0.25, 0.0]);
}

#[test]
fn a_wav_that_lies_or_is_something_else_is_refused() {
    let good = wav(spec(1, 16), &[1; 1000]);
    let length_at = good.windows(4).position(|four| four == b"data").unwrap() + 4;
    let claiming = |length: u32| {
        let mut bytes = good.clone();
        bytes[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
        bytes
    };
    let mut slow = good.clone();
    slow[24..32].copy_from_slice(&[10, 0, 0, 0, 20, 0, 0, 0]);
    let nan = {
        let mut bytes = wav(spec(1, 0), &[1, 2]);
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        bytes
    };
    let cases = [
        (claiming(1_000_000), "payload: the WAV says that it has 1000000 bytes of samples, the payload has"),
        (claiming(u32::MAX - 1), "payload: the WAV says that it has 4294967294 bytes of samples"),
        (claiming(2010), "payload: the WAV says that it has 1005 samples per channel, but ends after 1000"),
        (claiming(0), "payload: the WAV has no samples"),
        (claiming(1999), "payload: not a WAV that can be read"),
        (good[..20].to_vec(), "payload: the WAV ends within its header"),
        (b"RIFX....WAVE".to_vec(), "payload: not a WAV that can be read: no RIFF tag found"),
        (Vec::new(), "payload: the WAV ends within its header"),
        (slow, "payload: the WAV has 10 samples per second, accepted are 1000..=384000"),
        (nan, "payload: sample 1 of the WAV is no finite number"),
    ];
    for (bytes, expected) in cases {
        let (kind, message) = said(wav::read(&bytes, 60));
        assert_eq!(kind, ErrorKind::InvalidInput, "{message}");
        assert!(message.starts_with(expected), "{message} instead of {expected}");
    }
    let (kind, message) = said(wav::read(&wav(spec(1, 16), &vec![1; 16_001]), 1));
    assert_eq!((kind, message.as_str()), (ErrorKind::TooLarge, "payload: the WAV lasts 2 s, accepted are 1 s"));
}

/// A recipe whose output is of no interest.
fn with_input(input: Input) -> Recipe {
    let output = TensorSpec { name: "y".into(), datatype: Datatype::Fp32, shape: vec![-1, 2] };
    let labels = ClassesRecipe {
        tensor: "y".into(),
        labels: vec!["a".into(), "b".into()],
        top: 1,
        activation: Default::default(),
    };
    Recipe { input, output: Output::Classes(Classes::new(labels, &output).unwrap()), answer: 0 }
}

#[test]
fn half_numbers_of_a_classifier_are_read_like_whole_ones() {
    use crate::media::given::{Given, all};
    let recipe = with_input(Input::FileBytes);
    for given in
        [Given::floats("y", &[2, 2], &[0.25, 0.5, 0.75, 0.5]), Given::halves("y", &[2, 2], &[0.25, 0.5, 0.75, 0.5])]
    {
        let (_, answers) = all(std::slice::from_ref(&given));
        let read = |row| recipe.interpret(&answers, row, None).unwrap();
        assert_eq!(read(0), r#"{"label":"b","score":0.5,"labels":[{"label":"b","score":0.5}]}"#);
        assert_eq!(read(1), r#"{"label":"a","score":0.75,"labels":[{"label":"a","score":0.75}]}"#);
    }
    for (datatype, good) in [(Datatype::Fp16, true), (Datatype::Bf16, false), (Datatype::Fp64, false)] {
        let inputs = [TensorSpec { name: "x".into(), datatype, shape: vec![1, 3, 8, 8] }];
        assert_eq!(picture_input(&inputs, "x").is_ok(), good, "{datatype:?}");
        assert_eq!(float_input(&inputs, "x").is_ok(), good, "{datatype:?}");
    }
    let bytes = [TensorSpec { name: "x".into(), datatype: Datatype::Uint8, shape: vec![1, 3, 8, 8] }];
    assert!(picture_input(&bytes, "x").is_ok() && float_input(&bytes, "x").is_err());
}

#[test]
fn a_line_is_the_same_from_the_file_and_from_the_picture_that_was_handed_out() {
    let (mean, std) = ([0.5; 3], [0.5; 3]);
    let (min_side, max_side, max_pixels) = (32, 64, 64 * 64);
    let scene = SceneRecipe {
        tensor: "x".into(),
        step: 32,
        min_side,
        max_side,
        max_pixels,
        channels: Channels::Rgb,
        mean,
        std,
    };
    let finder = with_input(Input::Scene(Box::new(Scenes::new(scene, 10_000_000, Datatype::Fp32))));
    let reader = with_input(Input::Image(Box::new(bounded(10_000_000, 4, 64, WhenWider::Refuse))));
    let striped = |width, height| {
        image::RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([x / 4 % 251, y % 251, 9].map(|n| u8::try_from(n).unwrap()))
        })
    };
    for (width, height) in [(300, 200), (3000, 1000)] {
        let file = encode(striped(width, height), ImageFormat::Png);
        let (prepared, cost, kept) = finder.prepare_and_keep("image/png", &file).unwrap();
        assert_eq!((prepared, cost), finder.prepare("image/png", &file).unwrap(), "as without it");
        assert_eq!(kept.width, width.min(2000));
        assert_eq!(kept.rgb.len(), (kept.width * kept.height * 3) as usize);
        let corners = [[30, 20], [130, 20], [130, 60], [30, 60]];
        for upside_down in [false, true] {
            let part = Part { picture: [width, height], corners, upside_down, pixels: [kept.width, kept.height] };
            let from_file = reader.prepare_part("image/png", &file, &part).unwrap();
            assert_eq!(from_file, reader.prepare_part(PIXELS, &kept.rgb, &part).unwrap(), "{width} {upside_down}");
        }
        let part =
            Part { picture: [width, height], corners, upside_down: false, pixels: [kept.width, kept.height + 1] };
        let said = reader.prepare_part(PIXELS, &kept.rgb, &part).unwrap_err().to_string();
        assert!(said.starts_with("payload: no picture of ["), "{said}");
        // One line among many is squeezed where one alone would be refused.
        let corners = [[0, 20], [299, 20], [299, 22], [0, 22]];
        let part = Part { corners, pixels: [kept.width, kept.height], ..part };
        assert!(reader.prepare_part(PIXELS, &kept.rgb, &part).is_ok());
    }
    let part = Part { picture: [1, 1], corners: [[0, 0]; 4], upside_down: false, pixels: [1, 1] };
    assert!(reader.prepare_and_keep("image/png", b"").is_err() && finder.prepare_part(PIXELS, &[0; 3], &part).is_err());
    assert!(finder.prepare_and_keep("image/gif", b"").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let images = recipe(4, 16, WhenWider::Squeeze);
        for magic in [&[][..], &[0xff, 0xd8, 0xff], b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0"] {
            let bytes = [magic, &bytes].concat();
            let _ = images.decode("image/jpeg", &bytes);
            let _ = images.decode("image/png", &bytes);
            let _ = wav::read(&bytes, 60);
            let _ = jpeg::is_complete(&bytes);
        }
    }

    #[test]
    fn no_change_to_a_good_file_makes_a_decoder_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        end in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let images = recipe(4, 16, WhenWider::Squeeze);
        let jpeg = oriented(6);
        let png = encode(plain(20, 20, [1, 2, 3]), ImageFormat::Png);
        let wav = wav(spec(2, 24), &[5; 100]);
        for good in [jpeg, png, wav] {
            let mut bytes = good;
            for (at, value) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            if cut {
                bytes.truncate(end.index(bytes.len()));
            }
            let _ = images.decode("image/jpeg", &bytes);
            let _ = images.decode("image/png", &bytes);
            if let Ok(mono) = wav::read(&bytes, 60) {
                let _ = resample::to_rate(mono.samples, mono.rate, 16_000);
            }
        }
    }
}
