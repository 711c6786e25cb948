//! Every test of a link runs with each program at each end: a peer as master of ours, ours as
//! master of the peer, ours alone, all with one worker and with four; and the peer alone, which
//! proves that the test asks for what it does. The peer is stock Redis, or what `TANDEM_PEER`
//! names: `cargo xtask ci` runs the pairs that hold a peer once more with each of its table.

/// Makes tests out of functions `fn name(master: &Kind, replica: &Kind)`.
macro_rules! for_each_pair {
    ($($test:ident),+ $(,)?) => {
        $crate::pairs::for_each_pair!(@ peer_peer, peer(), peer(), $($test)+);
        $crate::pairs::for_each_pair!(@ peer_tandem1, peer(), tandem(1), $($test)+);
        $crate::pairs::for_each_pair!(@ peer_tandem4, peer(), tandem(4), $($test)+);
        $crate::pairs::for_each_pair!(@ tandem1_peer, tandem(1), peer(), $($test)+);
        $crate::pairs::for_each_pair!(@ tandem4_peer, tandem(4), peer(), $($test)+);
        $crate::pairs::for_each_pair!(@ tandem1_tandem1, tandem(1), tandem(1), $($test)+);
        $crate::pairs::for_each_pair!(@ tandem4_tandem4, tandem(4), tandem(4), $($test)+);
    };
    (@ $pair:ident, $master:expr, $replica:expr, $($test:ident)+) => {
        mod $pair {
            #[allow(unused_imports, reason = "a pair uses one of them or both")]
            use $crate::{peer, tandem};
            $(
                #[test]
                fn $test() {
                    super::$test(&$master, &$replica);
                }
            )+
        }
    };
}

/// Makes tests out of functions `fn name(kind: &Kind)`: ours with one and four workers, and stock
/// Redis.
macro_rules! for_each_kind {
    ($($test:ident),+ $(,)?) => {
        $crate::pairs::for_each_kind!(@ redis_alone, redis(), $($test)+);
        $crate::pairs::for_each_kind!(@ tandem1, tandem(1), $($test)+);
        $crate::pairs::for_each_kind!(@ tandem4, tandem(4), $($test)+);
    };
    (@ $name:ident, $kind:expr, $($test:ident)+) => {
        mod $name {
            #[allow(unused_imports, reason = "a kind uses one of them")]
            use $crate::{redis, tandem};
            $(
                #[test]
                fn $test() {
                    super::$test(&$kind);
                }
            )+
        }
    };
}

pub(crate) use {for_each_kind, for_each_pair};
