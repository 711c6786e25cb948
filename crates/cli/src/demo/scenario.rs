//! The steps of the demonstration. Each one says what it does, does it, and waits until the
//! servers themselves say that it happened.

use std::time::{Duration, Instant};

use tandem_resp::reply::ReplyValue;

use super::world::{End, World};

/// How long each event may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between steps, so that a person can follow.
const PAUSE_ON_TERMINAL: Duration = Duration::from_millis(2500);
const PAUSE_ELSEWHERE: Duration = Duration::from_millis(500);

/// The indexes of the servers.
struct Cast {
    master: usize,
    replica_1: usize,
    replica_2: usize,
    sub_replica: usize,
}

impl Cast {
    fn replicas(&self) -> [usize; 3] {
        [self.replica_1, self.replica_2, self.sub_replica]
    }
}

/// Goes through all steps, then shows the servers until Ctrl-C or the end of the time.
pub(super) fn play(world: &mut World) -> Result<(), End> {
    let cast = start_set(world)?;
    tell_how_to_connect(world)?;
    write_and_read_back(world, &cast)?;
    world.start_writer(cast.master);
    pause(world, "cutting a link")?;
    cut_a_link(world, &cast)?;
    pause(world, "adding a replica")?;
    let late = add_a_replica(world, &cast)?;
    pause(world, "comparing the data")?;
    compare_data(world, &cast, late)?;
    world.say(
        "Everything shown above has happened. It goes on until Ctrl-C or the end of the time.",
    )?;
    world.start_writer(cast.master);
    world.stay()
}

fn pause(world: &mut World, next: &str) -> Result<(), End> {
    let time = if world.screen.live { PAUSE_ON_TERMINAL } else { PAUSE_ELSEWHERE };
    world.linger(time, next)
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// Step 1: four servers, all links up.
fn start_set(world: &mut World) -> Result<Cast, End> {
    world.say("1. Starting a master, two replicas, and a replica of the first replica.")?;
    let master = world.start_node("master", None)?;
    let replica_1 = world.start_node("replica-1", Some(master))?;
    let replica_2 = world.start_node("replica-2", Some(master))?;
    let sub_replica = world.start_node("sub-replica", Some(replica_1))?;
    let cast = Cast { master, replica_1, replica_2, sub_replica };
    for replica in cast.replicas() {
        wait_for_link(world, replica)?;
    }
    world.wait_until("the masters count their replicas", PATIENCE, |world| {
        let direct = world.facts(cast.master)?.online_replicas;
        let chained = world.facts(cast.replica_1)?.online_replicas;
        Ok(direct == 2 && chained == 1)
    })?;
    let full = world.facts(cast.master)?.full_syncs;
    world.say(&format!(
        "   All links are up; the master has served {full} full resynchronisations."
    ))?;
    world.keep_picture()?;
    Ok(cast)
}

fn wait_for_link(world: &mut World, replica: usize) -> Result<Duration, End> {
    let what = format!("the link of {} is up", world.nodes[replica].name);
    world.wait_until(&what, PATIENCE, |world| Ok(world.facts(replica)?.link_up))
}

/// Waits until each of the replicas reads `value` at `key`.
fn wait_until_read(
    world: &mut World,
    replicas: &[usize],
    key: &str,
    value: &str,
) -> Result<(), End> {
    for &replica in replicas {
        let what = format!("{} reads {key} as the master wrote it", world.nodes[replica].name);
        world.wait_until(&what, PATIENCE, |world| {
            let read = world.call(replica, &["GET", key])?;
            Ok(read.as_bytes() == Some(value.as_bytes()))
        })?;
    }
    Ok(())
}

fn tell_how_to_connect(world: &mut World) -> Result<(), End> {
    let lines: Vec<String> = world
        .nodes
        .iter()
        .map(|node| {
            format!(
                "     redis-cli -p {:<5}   (or: tandem cli -p {:<5})  {}",
                node.port, node.port, node.name
            )
        })
        .collect();
    world.say("   Look yourself from another terminal:")?;
    lines.iter().try_for_each(|line| world.say(line))
}

/// Step 2: a write through the master is read on each replica, and a replica refuses writes.
fn write_and_read_back(world: &mut World, cast: &Cast) -> Result<(), End> {
    world.say("2. Writing through the master, reading on each replica.")?;
    let value = format!("hello {:08x}", fastrand::u32(..));
    let start = Instant::now();
    world.call(cast.master, &["SET", "demo:greeting", &value])?;
    for replica in cast.replicas() {
        let name = world.nodes[replica].name;
        wait_until_read(world, &[replica], "demo:greeting", &value)?;
        let took = milliseconds(start.elapsed());
        world.say(&format!(
            "   {name:<12} GET demo:greeting = \"{value}\"  ({took} after the write)"
        ))?;
    }
    let node = &mut world.nodes[cast.replica_2];
    let refused = node.call(&["SET", "demo:greeting", "no"]);
    match refused.as_ref().map(ReplyValue::as_error) {
        Ok(Some(text)) if text.starts_with(b"READONLY") => {
            let text = String::from_utf8_lossy(text).into_owned();
            world.say(&format!("   replica-2 refuses a write: {text}"))
        }
        _ => Err(End::Failed(format!("replica-2 does not refuse a write: {refused:?}"))),
    }
}

/// Step 3: a lost link resumes where it stopped.
fn cut_a_link(world: &mut World, cast: &Cast) -> Result<(), End> {
    world.say("3. Cutting the link of replica-2 while writes go on.")?;
    let before = world.facts(cast.master)?;
    let at = world.facts(cast.replica_2)?.offset.map_or(0, |offset| offset.0);
    let killed = world.call(cast.replica_2, &["CLIENT", "KILL", "TYPE", "master"])?;
    if killed.as_i64() != Some(1) {
        return Err(End::Failed(format!("CLIENT KILL TYPE master on replica-2: {killed:?}")));
    }
    let took = world.wait_until("replica-2 resumes by a partial resync", PATIENCE, |world| {
        let resumed = world.facts(cast.master)?.partial_syncs > before.partial_syncs;
        Ok(resumed && world.facts(cast.replica_2)?.link_up)
    })?;
    let mark = format!("after the cut {:08x}", fastrand::u32(..));
    world.call(cast.master, &["SET", "demo:after-cut", &mark])?;
    wait_until_read(world, &[cast.replica_2], "demo:after-cut", &mark)?;
    let after = world.facts(cast.master)?;
    if after.full_syncs != before.full_syncs {
        return Err(End::Failed("the cut link needed a full resynchronisation".to_owned()));
    }
    let took = milliseconds(took);
    world.say(&format!(
        "   It was at offset {at} and went on from there, {took} after the cut: sync_partial_ok \
         {} -> {}, sync_full still {}.",
        before.partial_syncs, after.partial_syncs, after.full_syncs
    ))
}

/// Step 4: a replica joins while writes go on; returns its index.
fn add_a_replica(world: &mut World, cast: &Cast) -> Result<usize, End> {
    world.say("4. Adding a replica while writes go on.")?;
    let before = world.facts(cast.master)?;
    let start = Instant::now();
    let late = world.start_node("late-replica", Some(cast.master))?;
    wait_for_link(world, late)?;
    world.wait_until("the master sees late-replica online", PATIENCE, |world| {
        Ok(world.facts(cast.master)?.online_replicas == before.online_replicas + 1)
    })?;
    let took = milliseconds(start.elapsed());
    let after = world.facts(cast.master)?;
    if after.full_syncs != before.full_syncs + 1 || after.partial_syncs != before.partial_syncs {
        return Err(End::Failed(format!(
            "late-replica should have taken one full resynchronisation: before {before:?}, after \
             {after:?}"
        )));
    }
    let keys = world.facts(late)?.keys;
    let port = world.nodes[late].port;
    world.say(&format!(
        "   late-replica (redis-cli -p {port}) took a full copy of {keys} keys and is in step, \
         {took} after its start: sync_full {} -> {}.",
        before.full_syncs, after.full_syncs
    ))?;
    world.keep_picture()?;
    Ok(late)
}

/// Step 5: when the writes pause, every server holds the same data at the same offset.
fn compare_data(world: &mut World, cast: &Cast, late: usize) -> Result<(), End> {
    world.say("5. Pausing the writes and comparing all servers.")?;
    world.stop_writer();
    let [one, two, sub] = cast.replicas();
    let replicas = [one, two, sub, late];
    let expect = all_data(world, cast.master)?;
    for replica in replicas {
        let name = world.nodes[replica].name;
        world.wait_until(&format!("{name} holds the master's data"), PATIENCE, |world| {
            Ok(all_data(world, replica)? == expect)
        })?;
    }
    world.wait_until("all offsets are equal", PATIENCE, |world| {
        let mut equal = true;
        for replica in replicas {
            // The master may send a PING in between: both are asked each time.
            equal &= world.facts(replica)?.offset == world.facts(cast.master)?.offset;
        }
        Ok(equal)
    })?;
    let writes = world.writes();
    world.say(&format!(
        "   {} keys after {writes} writes: equal on all {} servers, at equal offsets.",
        expect.len(),
        world.nodes.len()
    ))
}

/// A key and its value.
type Pair = (Vec<u8>, Vec<u8>);

/// Every key of ours with its value, in the order of the keys.
fn all_data(world: &mut World, index: usize) -> Result<Vec<Pair>, End> {
    let reply = world.call(index, &["KEYS", "demo:*"])?;
    let mut keys: Vec<String> = reply
        .as_slice()
        .unwrap_or_default()
        .iter()
        .filter_map(|key| String::from_utf8(key.as_bytes()?.to_vec()).ok())
        .collect();
    keys.sort();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut command = vec!["MGET"];
    command.extend(keys.iter().map(String::as_str));
    let values = world.call(index, &command)?;
    let values = values.as_slice().unwrap_or_default();
    let pair = |(key, value): (&String, &ReplyValue)| {
        (key.clone().into_bytes(), value.as_bytes().unwrap_or_default().to_vec())
    };
    Ok(keys.iter().zip(values).map(pair).collect())
}
