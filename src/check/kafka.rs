//! Kafka: who answers, and what topic and group are like.

use std::time::Duration;

use hitstream_actors::group_member::kafka::{GroupReport, inspect};
use hitstream_actors::source::TopicDescription;

use super::report::Finding;
use crate::cli::words::count;
use crate::config::Config;
use crate::{topic, wiring};

/// How long the brokers have for all answers.
const LIMIT: Duration = Duration::from_secs(15);

/// Asks the brokers; gives the topic as they have it.
pub(super) fn check(config: &Config, findings: &mut Vec<Finding>) -> Option<TopicDescription> {
    let report = match inspect(&wiring::kafka(config), LIMIT) {
        Ok(report) => report,
        Err(error) => {
            findings.push(Finding::failed("kafka", &topic::failure(config, error)));
            return None;
        }
    };
    let brokers = count(report.brokers, "broker", "brokers");
    let place = format!("{brokers} at {}", config.kafka.brokers);
    findings.push(Finding::ok("kafka", place));
    findings.push(match report.group {
        Ok(group) => group_found(config, &group),
        Err(error) => Finding::failed("group", &topic::failure(config, error)),
    });
    match report.topic {
        Ok(topic) => {
            findings.extend(topic_found(config, &topic));
            Some(topic)
        }
        Err(error) => {
            findings.push(Finding::failed("topic", &topic::failure(config, error)));
            None
        }
    }
}

fn topic_found(config: &Config, topic: &TopicDescription) -> [Finding; 2] {
    let partitions = count(topic.partitions.len(), "partition", "partitions");
    let offsets: i64 = topic.partitions.iter().map(|range| range.high.0 - range.low.0).sum();
    let name = &config.kafka.topic;
    let found = format!("{name}: {partitions}, {}", count(offsets, "offset", "offsets"));
    let id = &topic.topic_id;
    let id = if id.bytes().all(|digit| digit == b'0') {
        Finding::warn(
            "topic id",
            "these brokers have none: a topic that is recreated may go unnoticed".to_owned(),
            "upgrade the brokers to 2.8 or newer, or never recreate the topic under its name",
        )
    } else {
        Finding::ok("topic id", id.clone())
    };
    [Finding::ok("topic", found), id]
}

fn group_found(config: &Config, group: &GroupReport) -> Finding {
    let name = &config.kafka.group;
    if group.state.is_empty() || group.state == "Dead" {
        return Finding::ok("group", format!("{name}: nobody has joined it yet"));
    }
    // The brokers write a Java socket's address, which begins with a slash where it has no name.
    let machine = |member: &String| member.trim_start_matches('/').to_owned();
    let mut machines: Vec<String> = group.members.iter().map(machine).collect();
    machines.sort_unstable();
    machines.dedup();
    let from = if machines.is_empty() { String::new() } else { " from ".to_owned() };
    let members = count(group.members.len(), "member", "members");
    let by = if group.is_assigned_by_brokers { ", assigned by the brokers" } else { "" };
    let detail = format!("{name}: {}, {members}{from}{}{by}", group.state, machines.join(", "));
    Finding::ok("group", detail)
}
