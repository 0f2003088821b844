//! Decides which ways to run a model are worth a measurement, given its builds and the processor's cores. Must not know
//! providers by name: it is told of each build what may be varied.

/// What may be varied about a variant on a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Build {
    /// The provider's work is done by threads of this box's processor.
    pub on_cores: bool,
    /// The provider has a faster, less exact float.
    pub reduced: bool,
}

/// One way to run a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Index of the build.
    pub build: usize,
    /// In the provider's faster float.
    pub reduced: bool,
    /// Threads of one session.
    pub threads: u16,
    /// Sessions side by side.
    pub instances: u16,
}

/// Ways of one model at most: each costs a load and some seconds.
pub const MAX_WAYS: usize = 32;
/// Most sessions side by side, and most threads of one.
const MOST: u16 = 16;

/// The ways to measure, build by build.
///
/// On the cores of this box: each power of two of threads, with as many sessions as fill the cores; and always one
/// session with all of them. On a device of its own: one session, and two, so that copying and computing may overlap.
pub fn ways(builds: &[Build], cores: u16) -> Vec<Shape> {
    let mut ways = Vec::new();
    for (build, kind) in builds.iter().enumerate() {
        let splits = if kind.on_cores { splits(cores) } else { vec![(1, 1), (1, 2)] };
        for reduced in [false, true] {
            if !reduced || kind.reduced {
                ways.extend(splits.iter().map(|&(threads, instances)| Shape { build, reduced, threads, instances }));
            }
        }
    }
    ways.truncate(MAX_WAYS);
    ways
}

/// Threads and sessions that fill so many cores.
fn splits(cores: u16) -> Vec<(u16, u16)> {
    let cores = cores.clamp(1, MOST);
    let mut splits: Vec<(u16, u16)> = Vec::new();
    let mut threads = 1;
    while threads < cores {
        splits.push((threads, cores / threads));
        threads *= 2;
    }
    splits.push((cores, 1));
    splits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_filled_by_sessions_or_by_threads() {
        for (cores, expected) in [
            (0, &[(1, 1)][..]),
            (1, &[(1, 1)]),
            (2, &[(1, 2), (2, 1)]),
            (4, &[(1, 4), (2, 2), (4, 1)]),
            (6, &[(1, 6), (2, 3), (4, 1), (6, 1)]),
            (64, &[(1, 16), (2, 8), (4, 4), (8, 2), (16, 1)]),
        ] {
            assert_eq!(splits(cores), expected, "{cores} cores");
        }
    }

    #[test]
    fn a_build_is_measured_in_each_precision_and_a_device_of_its_own_with_one_and_two_sessions() {
        let cpu = Build { on_cores: true, reduced: false };
        let gpu = Build { on_cores: false, reduced: true };
        let shapes: Vec<_> =
            ways(&[gpu, cpu], 2).iter().map(|way| (way.build, way.reduced, way.threads, way.instances)).collect();
        let expected =
            [(0, false, 1, 1), (0, false, 1, 2), (0, true, 1, 1), (0, true, 1, 2), (1, false, 1, 2), (1, false, 2, 1)];
        assert_eq!(shapes, expected);
        assert_eq!(ways(&[cpu; 40], 2).len(), MAX_WAYS);
        assert_eq!(ways(&[], 2), []);
    }
}
