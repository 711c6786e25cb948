//! What an allocation of a given size really takes under jemalloc.
//!
//! Memory is counted in these sizes, and entries are allocated in them, so that a value can be
//! overwritten in place whenever the new one fits the same class.

/// Size of the jemalloc size class that holds `size_bytes`; 0 for 0.
///
/// Classes are 8, then multiples of 16 up to 128, then four to each doubling.
pub const fn size_class(size_bytes: usize) -> usize {
    match size_bytes {
        0 => 0,
        1..=8 => 8,
        9..=128 => (size_bytes + 15) & !15,
        _ => {
            let step = 1 << ((size_bytes - 1).ilog2() - 2);
            (size_bytes + step - 1) & !(step - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::size_class;

    #[test]
    fn classes_are_those_of_jemalloc() {
        let classes = [
            8, 16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768,
            896, 1024, 1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096, 5120, 6144, 7168, 8192,
            10240, 12288, 14336, 16384, 20480, 24576, 28672, 32768, 40960,
        ];
        for pair in classes.windows(2) {
            assert_eq!(size_class(pair[0] + 1), pair[1]);
            assert_eq!(size_class(pair[1]), pair[1]);
        }
        assert_eq!(size_class(0), 0);
        assert_eq!(size_class(1), 8);
    }
}
