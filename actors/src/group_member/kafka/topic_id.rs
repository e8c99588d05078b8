//! The topic's id, which tells a recreated topic from the one before. The safe crate has no call for it.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka_sys as sys;
use rdkafka_sys::RDKafkaErrorCode;

use super::membership::Consumer;
use crate::source::SourceError;

/// The topic's id as 32 hexadecimal digits, zeros where the brokers have none; blocks. It is asked of `broker`, for the
/// controller, which the client would ask, may be away while the topic is served.
pub(super) fn topic_id(
    consumer: &Consumer,
    topic: &str,
    broker: i32,
    timeout: Duration,
) -> Result<String, SourceError> {
    let name = CString::new(topic)
        .map_err(|_| SourceError::Configuration("the topic's name holds NUL".to_owned()))?;
    let mut names = [name.as_ptr()];
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: every object made here is destroyed here, results are only read before the event that owns them is
    // destroyed, and the client outlives the call.
    unsafe {
        let client = consumer.client().native_ptr();
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        let queue = sys::rd_kafka_queue_new(client);
        let options = sys::rd_kafka_AdminOptions_new(
            client,
            sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        );
        // Refused is only a number below zero; the controller is asked then.
        sys::rd_kafka_AdminOptions_set_broker(options, broker, std::ptr::null_mut(), 0);
        sys::rd_kafka_DescribeTopics(client, topics, options, queue);
        let event = sys::rd_kafka_queue_poll(queue, timeout_ms);
        let id = id_of(event, topic);
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_TopicCollection_destroy(topics);
        id
    }
}

/// # Safety
/// `event` is null or a live event.
unsafe fn id_of(event: *mut sys::rd_kafka_event_t, topic: &str) -> Result<String, SourceError> {
    let unavailable = |reason: &str| SourceError::Unavailable(format!("topic {topic:?}: {reason}"));
    // SAFETY: librdkafka accepts any live event and answers null for one of another type; results belong to the event,
    // and texts to librdkafka.
    unsafe {
        if event.is_null() {
            return Err(unavailable("the brokers do not answer"));
        }
        let error = sys::rd_kafka_event_error(event);
        if error != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(unavailable(&RDKafkaErrorCode::from(error).to_string()));
        }
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(unavailable("the brokers do not describe it"));
        }
        let mut count = 0;
        let descriptions = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if count == 0 || descriptions.is_null() {
            return Err(SourceError::TopicMissing(topic.to_owned()));
        }
        let error = sys::rd_kafka_TopicDescription_error(*descriptions);
        let error = if error.is_null() { None } else { Some(sys::rd_kafka_error_code(error)) };
        match error.map(RDKafkaErrorCode::from) {
            None | Some(RDKafkaErrorCode::NoError) => {}
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                return Err(SourceError::TopicMissing(topic.to_owned()));
            }
            Some(error) => return Err(unavailable(&error.to_string())),
        }
        let id = sys::rd_kafka_TopicDescription_topic_id(*descriptions);
        if id.is_null() {
            return Ok("0".repeat(32));
        }
        let high = sys::rd_kafka_Uuid_most_significant_bits(id);
        let low = sys::rd_kafka_Uuid_least_significant_bits(id);
        Ok(format!("{high:016x}{low:016x}"))
    }
}
