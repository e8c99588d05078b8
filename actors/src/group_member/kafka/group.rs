//! What the brokers say of a consumer group, under either group protocol.
//!
//! The list of groups, for which the safe crate has a call, tells state and members only of groups whose members assign
//! among themselves; those of `group.protocol=consumer` it calls dead. What describes these has no safe call.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char};
use std::thread;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka_sys as sys;
use rdkafka_sys::RDKafkaErrorCode;

use super::membership::Consumer;
use crate::clock;
use crate::source::SourceError;

/// What the list calls a group that it cannot describe, or that is gone.
const DEAD: &str = "Dead";

/// What the brokers say of a coordinator that is not there yet.
const NOT_YET: [&str; 3] =
    ["Not coordinator", "Coordinator not available", "Coordinator load in progress"];
/// How long to wait before it is asked again.
const RETRY: Duration = Duration::from_millis(100);

/// A consumer group as the brokers have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupReport {
    /// Its state, in the brokers' words; empty where there is no such group.
    pub state: String,
    /// Machines its members run on, one entry for each member.
    pub members: Vec<String>,
    /// Whether its members have their partitions assigned by the brokers (`group.protocol=consumer`).
    pub is_assigned_by_brokers: bool,
}

/// Asks for a group, again where its coordinator is only just becoming one; blocks. Where it does not exist, nothing is asked that
/// would have the brokers make anything, unless these know who asks: to somebody without the right to see it, a group is not
/// there.
pub(super) fn describe(
    consumer: &Consumer,
    group: &str,
    they_know_us: bool,
    timeout: Duration,
) -> Result<GroupReport, SourceError> {
    let deadline = clock::monotonic() + timeout;
    loop {
        let left = clock::until(deadline);
        match describe_once(consumer, group, they_know_us, deadline) {
            Err(SourceError::Unavailable(reason))
                if left > RETRY && NOT_YET.iter().any(|word| reason.contains(word)) =>
            {
                thread::sleep(RETRY);
            }
            answer => return answer,
        }
    }
}

fn describe_once(
    consumer: &Consumer,
    group: &str,
    they_know_us: bool,
    deadline: Duration,
) -> Result<GroupReport, SourceError> {
    let list = consumer.fetch_group_list(Some(group), clock::until(deadline));
    let list = list.map_err(|error| SourceError::Unavailable(error.to_string()))?;
    let Some(listed) = list.groups().iter().find(|listed| listed.name() == group) else {
        return match they_know_us {
            true => ask(consumer, group, clock::until(deadline)),
            false => Ok(GroupReport::default()),
        };
    };
    if listed.state() == DEAD {
        return ask(consumer, group, clock::until(deadline));
    }
    Ok(GroupReport {
        state: listed.state().to_owned(),
        members: listed.members().iter().map(|member| member.client_host().to_owned()).collect(),
        is_assigned_by_brokers: false,
    })
}

/// Asks its coordinator.
fn ask(consumer: &Consumer, group: &str, timeout: Duration) -> Result<GroupReport, SourceError> {
    let name = CString::new(group)
        .map_err(|_| SourceError::Configuration("the group's name holds NUL".to_owned()))?;
    let mut names = [name.as_ptr()];
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: every object made here is destroyed here, results are only read before the event that owns them is
    // destroyed, and the client outlives the call.
    unsafe {
        let client = consumer.client().native_ptr();
        let queue = sys::rd_kafka_queue_new(client);
        let options = sys::rd_kafka_AdminOptions_new(
            client,
            sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS,
        );
        sys::rd_kafka_DescribeConsumerGroups(
            client,
            names.as_mut_ptr(),
            names.len(),
            options,
            queue,
        );
        let event = sys::rd_kafka_queue_poll(queue, timeout_ms);
        let report = report_of(event, group);
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_queue_destroy(queue);
        report
    }
}

/// # Safety
/// `event` is null or a live event.
unsafe fn report_of(
    event: *mut sys::rd_kafka_event_t,
    group: &str,
) -> Result<GroupReport, SourceError> {
    use sys::rd_kafka_consumer_group_state_t::RD_KAFKA_CONSUMER_GROUP_STATE_UNKNOWN as UNKNOWN;
    use sys::rd_kafka_consumer_group_type_t::RD_KAFKA_CONSUMER_GROUP_TYPE_CONSUMER as BY_BROKERS;
    let unavailable = |reason: &str| SourceError::Unavailable(format!("group {group:?}: {reason}"));
    // SAFETY: librdkafka accepts any live event and answers null for one of another type; results belong to the event,
    // indices are below the count it gives, and texts end with NUL.
    unsafe {
        if event.is_null() {
            return Err(unavailable("its coordinator does not answer"));
        }
        let error = sys::rd_kafka_event_error(event);
        if error != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(unavailable(&RDKafkaErrorCode::from(error).to_string()));
        }
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event);
        if result.is_null() {
            return Err(unavailable("the brokers do not describe it"));
        }
        let mut count = 0;
        let found = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &mut count);
        if count == 0 || found.is_null() {
            return Ok(GroupReport::default());
        }
        let found = *found;
        let error = sys::rd_kafka_ConsumerGroupDescription_error(found);
        let error = if error.is_null() { None } else { Some(sys::rd_kafka_error_code(error)) };
        match error.map(RDKafkaErrorCode::from) {
            None | Some(RDKafkaErrorCode::NoError) => {}
            Some(RDKafkaErrorCode::GroupIdNotFound) => return Ok(GroupReport::default()),
            Some(error) => return Err(unavailable(&error.to_string())),
        }
        let is_assigned_by_brokers =
            sys::rd_kafka_ConsumerGroupDescription_type(found) == BY_BROKERS;
        let state = sys::rd_kafka_ConsumerGroupDescription_state(found);
        let members = 0..sys::rd_kafka_ConsumerGroupDescription_member_count(found);
        let host = |member| {
            let member = sys::rd_kafka_ConsumerGroupDescription_member(found, member);
            text(sys::rd_kafka_MemberDescription_host(member))
        };
        Ok(GroupReport {
            state: match (state, is_assigned_by_brokers) {
                // The states between, which the client has no word for.
                (UNKNOWN, true) => "Reconciling".to_owned(),
                _ => text(sys::rd_kafka_consumer_group_state_name(state)),
            },
            members: members.map(host).collect(),
            is_assigned_by_brokers,
        })
    }
}

/// # Safety
/// `text` is null or ends with NUL, and lives as long as the call.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
