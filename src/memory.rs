//! The allocator: jemalloc, also for librdkafka, which asks for a megabyte for each batch that it decompresses. glibc either
//! gives such pieces back to the system at once, and has their pages zeroed anew each time, or keeps them among small ones, so
//! that memory creeps.
#![allow(unsafe_code)]

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// jemalloc's own settings, which it looks for under this name: few arenas, for each holds back what was freed in it.
// SAFETY: nothing else has this name, and jemalloc reads it up to the NUL.
#[used]
#[unsafe(export_name = "malloc_conf")]
static MALLOC_CONF: &std::ffi::CStr = c"narenas:2,dirty_decay_ms:5000";
