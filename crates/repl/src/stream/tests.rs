//! The stream's window, its cursors, and many threads at once.

use super::*;

fn bytes(from: u64, count: usize) -> Vec<u8> {
    (0..count as u64).map(|at| byte_at(from + at)).collect()
}

/// What the byte at a position should be, so that a reader can tell where it is.
fn byte_at(position: u64) -> u8 {
    (position ^ (position >> 8) ^ (position >> 16)) as u8
}

/// Appends `count` bytes that tell their positions.
fn grow(stream: &Stream, count: usize) {
    let next = stream.end().next_byte().0;
    stream.append(&bytes(next, count));
}

fn read_all(cursor: &mut Cursor) -> Vec<u8> {
    let mut all = Vec::new();
    while !cursor.chunk().is_empty() {
        let chunk = cursor.chunk().to_vec();
        cursor.advance(chunk.len());
        all.extend_from_slice(&chunk);
    }
    all
}

#[test]
fn an_inactive_stream_stands_still() {
    let stream = Stream::new(0);
    assert!(!stream.is_active());
    stream.append(b"lost");
    stream.append_with(|_| panic!("called while inactive"));
    assert_eq!(stream.end(), ReplOffset(0));
    assert_eq!((stream.first_byte(), stream.histlen(), stream.memory_bytes()), (0, 0, 0));
    assert!(stream.cursor_at(NextByte(1)).is_none());
    stream.place_at(ReplOffset(77));
    assert_eq!(stream.end(), ReplOffset(77));
}

#[test]
fn history_begins_where_the_stream_is_activated() {
    let stream = Stream::new(BACKLOG_BYTES_DEFAULT);
    stream.activate(ReplOffset(70));
    assert_eq!((stream.first_byte(), stream.histlen()), (71, 0));
    assert!(stream.cursor_at(NextByte(70)).is_none());
    assert!(stream.cursor_at(NextByte(72)).is_none());
    let mut cursor = stream.cursor_at(NextByte(71)).unwrap();
    assert_eq!(stream.append(b"hello"), ReplOffset(75));
    assert_eq!(cursor.pending(stream.end()), 5);
    assert_eq!(cursor.chunk(), b"hello");
    cursor.advance(2);
    assert_eq!((cursor.chunk(), cursor.position()), (&b"llo"[..], NextByte(73)));
    assert_eq!(stream.cursor_at(NextByte(74)).unwrap().chunk(), b"lo");
}

#[test]
fn pieces_go_in_together_and_select_once() {
    let stream = Stream::new(BACKLOG_BYTES_DEFAULT);
    stream.activate(ReplOffset(0));
    let mut cursor = stream.cursor_at(NextByte(1)).unwrap();
    for _ in 0..2 {
        stream.append_with(|writer| {
            writer.select(DbIndex(12));
            writer.push(b"a");
            writer.push(b"b");
        });
    }
    assert_eq!(read_all(&mut cursor), b"*2\r\n$6\r\nSELECT\r\n$2\r\n12\r\nabab");
    assert_eq!(stream.selected_db(), Some(DbIndex(12)));
    assert_eq!(stream.forget_selected_db(), stream.end());
    stream.append_with(|writer| writer.select(DbIndex(12)));
    assert_eq!(read_all(&mut cursor), b"*2\r\n$6\r\nSELECT\r\n$2\r\n12\r\n");
}

#[test]
fn the_window_keeps_what_its_size_asks_for() {
    for size in [BACKLOG_BYTES_MIN, 100_000, BACKLOG_BYTES_DEFAULT] {
        let stream = Stream::new(size);
        stream.activate(ReplOffset(0));
        for _ in 0..3000 {
            grow(&stream, 1000);
            let kept = stream.histlen();
            assert!(kept >= size.min(stream.end().0), "{kept} of {size}");
            assert!(kept <= size + 2 * (size / 16).max(BACKLOG_BYTES_MIN), "{kept} of {size}");
            assert_eq!(stream.first_byte() + kept, stream.end().next_byte().0);
        }
        let first = NextByte(stream.first_byte());
        assert!(stream.cursor_at(NextByte(first.0 - 1)).is_none());
        let mut cursor = stream.cursor_at(first).unwrap();
        assert_eq!(read_all(&mut cursor), bytes(first.0, stream.histlen() as usize));
    }
}

#[test]
fn a_large_piece_goes_into_blocks_that_can_be_given_back() {
    let stream = Stream::new(BACKLOG_BYTES_MIN);
    stream.activate(ReplOffset(0));
    let mut cursor = stream.cursor_at(NextByte(1)).unwrap();
    grow(&stream, 10_000_000);
    let chunks: Vec<usize> = cursor.chunks().map(<[u8]>::len).collect();
    assert!(chunks.iter().all(|&len| len <= BACKLOG_BYTES_MIN as usize));
    assert_eq!(chunks.iter().sum::<usize>(), 10_000_000);
    cursor.advance(3_000_000);
    assert_eq!(cursor.chunk()[0], byte_at(3_000_001));
    assert_eq!(read_all(&mut cursor), bytes(3_000_001, 7_000_000));
    while stream.trim(1, || {}) {}
    assert!(stream.histlen() <= 2 * BACKLOG_BYTES_MIN);
}

#[test]
fn a_slow_reader_lends_its_history_to_others() {
    let stream = Stream::new(BACKLOG_BYTES_MIN);
    stream.activate(ReplOffset(0));
    let mut slow = stream.cursor_at(NextByte(1)).unwrap();
    for _ in 0..2000 {
        grow(&stream, 1000);
    }
    assert_eq!(stream.histlen(), 2_000_000);
    let mut late = stream.cursor_at(NextByte(1234)).unwrap();
    assert_eq!(read_all(&mut late), bytes(1234, 2_000_000 - 1233));
    slow.advance(1_000_000);
    drop(late);
    while stream.trim(1, || {}) {}
    assert!(stream.histlen() >= 1_000_000 && stream.histlen() <= 1_000_000 + 16_384);
    drop(slow);
    let held = stream.memory_bytes();
    assert!(stream.trim(4, || {}), "given back in steps");
    assert!(stream.memory_bytes() < held);
    while stream.trim(64, || {}) {}
    assert!(stream.histlen() < 2 * BACKLOG_BYTES_MIN);
}

#[test]
fn the_size_can_change_both_ways() {
    let stream = Stream::new(BACKLOG_BYTES_DEFAULT);
    stream.activate(ReplOffset(0));
    for _ in 0..2000 {
        grow(&stream, 1000);
    }
    stream.resize(50_000);
    assert!(stream.histlen() < 130_000, "{}", stream.histlen());
    assert_eq!(stream.size_bytes(), 50_000);
    stream.resize(BACKLOG_BYTES_DEFAULT);
    for _ in 0..900 {
        grow(&stream, 1000);
    }
    assert!(stream.histlen() > 900_000);
    stream.resize(1);
    assert_eq!(stream.size_bytes(), BACKLOG_BYTES_MIN);
}

#[test]
fn a_full_resync_kills_the_cursors_from_before() {
    let stream = Stream::new(BACKLOG_BYTES_DEFAULT);
    stream.activate(ReplOffset(0));
    grow(&stream, 200_000);
    let old = stream.cursor_at(NextByte(5)).unwrap();
    let caught_up = stream.cursor_at(NextByte(200_001)).unwrap();
    stream.reset_to(ReplOffset(9000));
    assert!(old.is_dead() && caught_up.is_dead());
    assert!(old.chunk().is_empty());
    assert_eq!((stream.first_byte(), stream.histlen(), stream.end().0), (9001, 0, 9000));
    assert!(!stream.cursor_at(NextByte(9001)).unwrap().is_dead());
    stream.release();
    assert!(!stream.is_active());
    assert_eq!(stream.end(), ReplOffset(9000));
    stream.reset_to(ReplOffset(3));
    assert_eq!(stream.append(b"x"), ReplOffset(4));
}

#[test]
fn readers_of_before_a_fork_see_nothing_of_after_it() {
    let stream = Stream::new(BACKLOG_BYTES_MIN);
    stream.activate(ReplOffset(0));
    stream.append(b"old");
    let mut old = stream.cursor_at(NextByte(1)).unwrap();
    old.advance(1);
    stream.cut_readers_off();
    assert!(old.is_dead());
    stream.append(b"new");
    assert_eq!(old.chunk(), b"");
    let new = stream.cursor_at(NextByte(2)).unwrap();
    assert!(!new.is_dead());
    assert_eq!(new.chunk(), b"ldnew");
}

#[test]
fn a_long_chain_is_freed_without_recursion() {
    let mut tail = Tail::new(0, 1);
    let first = Arc::clone(tail.block());
    for _ in 0..300_000 {
        tail.push(b"x");
        tail.follow(1);
    }
    drop(tail);
    drop(first);
}

/// Several writers append whole records; readers must see each record whole, each writer's
/// in order, and all readers the same bytes.
#[test]
fn writers_and_readers_share_one_order() {
    const RECORD: usize = 24;
    const RECORDS: usize = 6000;
    let stream = Stream::new(BACKLOG_BYTES_MIN);
    stream.activate(ReplOffset(0));
    let total = (3 * RECORDS * RECORD) as u64;
    let read = |mut cursor: Cursor| {
        let mut all = Vec::new();
        while (all.len() as u64) < total {
            let taken: Vec<u8> = cursor.chunks().take(2).flatten().copied().collect();
            assert!(cursor.position().0 + taken.len() as u64 <= stream.end().0 + 1);
            cursor.advance(taken.len());
            all.extend_from_slice(&taken);
            std::thread::yield_now();
        }
        all
    };
    let readings: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| stream.cursor_at(NextByte(1)).unwrap())
            .map(|cursor| scope.spawn(move || read(cursor)))
            .collect();
        for writer in 0..3u8 {
            let stream = &stream;
            scope.spawn(move || {
                for number in 0..RECORDS {
                    stream.append_with(|out| {
                        out.push(&[writer; RECORD - 8]);
                        out.push(&(number as u64).to_le_bytes());
                    });
                }
            });
        }
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    assert!(readings[0] == readings[1]);
    let mut next = [0u64; 3];
    for record in readings[0].chunks(RECORD) {
        let writer = record[0];
        assert!(record[..RECORD - 8].iter().all(|&byte| byte == writer));
        let number = u64::from_le_bytes(record[RECORD - 8..].try_into().unwrap());
        assert_eq!(number, next[usize::from(writer)]);
        next[usize::from(writer)] += 1;
    }
}
