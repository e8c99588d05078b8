//! Who may do what on a Kafka with an authorizer. The safe crate has no call for it.
#![allow(unsafe_code, reason = "there is no safe call to create or delete ACLs")]

use std::ffi::CString;
use std::ptr::null_mut;

use rdkafka::ClientConfig;
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka_sys as sys;
use rdkafka_sys::rd_kafka_AclOperation_t as Native;

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Read,
    Write,
    Create,
}

/// What it is done on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum On<'a> {
    Topic(&'a str),
    Group(&'a str),
}

/// Allows `user` to do this from everywhere; the brokers know it when this returns.
pub(crate) fn allow(brokers: &str, user: &str, operation: Operation, on: On<'_>) {
    use sys::rd_kafka_ResourceType_t::{RD_KAFKA_RESOURCE_GROUP, RD_KAFKA_RESOURCE_TOPIC};
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    let (kind, name) = match on {
        On::Topic(name) => (RD_KAFKA_RESOURCE_TOPIC, name),
        On::Group(name) => (RD_KAFKA_RESOURCE_GROUP, name),
    };
    let operation = match operation {
        Operation::Read => Native::RD_KAFKA_ACL_OPERATION_READ,
        Operation::Write => Native::RD_KAFKA_ACL_OPERATION_WRITE,
        Operation::Create => Native::RD_KAFKA_ACL_OPERATION_CREATE,
    };
    let text = |text: &str| CString::new(text).unwrap();
    let (name, principal, host) = (text(name), text(&format!("User:{user}")), text("*"));
    // SAFETY: texts live until the binding is made, which copies them; every object made here is destroyed here, the result
    // is only read before the event that owns it is, and the client outlives the call.
    unsafe {
        let client = admin.inner().native_ptr();
        let mut binding = sys::rd_kafka_AclBinding_new(
            kind,
            name.as_ptr(),
            sys::rd_kafka_ResourcePatternType_t::RD_KAFKA_RESOURCE_PATTERN_LITERAL,
            principal.as_ptr(),
            host.as_ptr(),
            operation,
            sys::rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW,
            null_mut(),
            0,
        );
        assert!(!binding.is_null());
        let queue = sys::rd_kafka_queue_new(client);
        sys::rd_kafka_CreateAcls(client, &mut binding, 1, null_mut(), queue);
        let event = sys::rd_kafka_queue_poll(queue, 30_000);
        assert!(!event.is_null(), "no answer to CreateAcls");
        let error = sys::rd_kafka_event_error(event);
        let result = sys::rd_kafka_event_CreateAcls_result(event);
        let mut count = 0;
        let results = sys::rd_kafka_CreateAcls_result_acls(result, &mut count);
        let refused = sys::rd_kafka_acl_result_error(*results);
        assert!(refused.is_null() && count == 1, "{error:?}");
        sys::rd_kafka_event_destroy(event);
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_AclBinding_destroy(binding);
    }
}
