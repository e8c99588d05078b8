//! The store on a real PostgreSQL.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use hitstream_actors::enricher::ip2location::{
    Budget, BudgetPeriod, Grant, Ip2Location, LocationStore,
};
use hitstream_actors::store::StoreError;
use hitstream_actors::writer::postgres::{
    PipelineSettings, PostgresLocations, PostgresSettings, PostgresStore, PrivateTable,
    TlsSettings, connect, migrate,
};
use hitstream_domain::geo::Location;
use hitstream_domain::watermark::TimeRules;
use hitstream_domain::window::WindowSpec;
use tokio_postgres::Client;

use crate::bench::{Bench, country, eventually, ip, locate_all};
use crate::server::Reply;

const HOUR: Duration = Duration::from_secs(3600);

/// A schema of the test's own with the tables in it.
struct Schema {
    settings: PostgresSettings,
    sql: Client,
}

impl Schema {
    /// A store as another instance would have it.
    fn store(&self) -> Arc<PostgresLocations> {
        Arc::new(PostgresLocations::new(&self.settings))
    }

    /// What commits go to.
    fn commits(&self) -> PostgresStore {
        let rules = TimeRules {
            window: WindowSpec::new(HOUR, HOUR).unwrap(),
            delay: HOUR,
            max_future_skew: HOUR,
        };
        let pipeline = PipelineSettings {
            topic: "topic".to_owned(),
            group: "group".to_owned(),
            rules,
            idle_timeout: HOUR,
            max_days: 1,
            start_at_latest: false,
            accept_data_loss: false,
        };
        PostgresStore::new(self.settings.clone(), pipeline)
    }

    async fn number(&self, query: &str) -> i64 {
        self.sql.query_one(query, &[]).await.unwrap().get(0)
    }

    async fn age(&self, interval: &str) {
        let age =
            format!("UPDATE ip_locations SET located_at = located_at - interval '{interval}'");
        self.sql.batch_execute(&age).await.unwrap();
    }
}

/// Runs a test in a schema that is gone when it has passed; does nothing, with a word, where no services run.
async fn in_schema<T: Future<Output = Schema>>(name: &str, test: impl FnOnce(Schema) -> T) {
    let Ok(url) = std::env::var("POSTGRES_URL") else {
        assert!(std::env::var("CI").is_err(), "no services in CI");
        eprintln!("skipped: no services: run `make services && . ./.services.env` first");
        return;
    };
    let settings = PostgresSettings {
        config: url.parse().unwrap(),
        tls: TlsSettings::default(),
        schema: format!("locations_{name}_{}", std::process::id()),
        pool_size: 3,
        instance: "test".to_owned(),
    };
    let mut sql = connect(&settings).await.unwrap();
    migrate(&mut sql, &settings).await.unwrap();
    let schema = tokio::time::timeout(Duration::from_secs(60), test(Schema { settings, sql }));
    let schema = schema.await.unwrap();
    let drop = format!("DROP SCHEMA {} CASCADE", schema.settings.schema);
    schema.sql.batch_execute(&drop).await.unwrap();
}

fn somewhere(city: &str) -> Location {
    Location {
        country_code: Some("DE".into()),
        country: Some("Germany".into()),
        region: None,
        city: Some(city.into()),
        latitude: Some(52.5),
        longitude: Some(-0.25),
        time_zone: Some("+01:00".into()),
        asn: Some(u32::MAX),
        as_name: Some("Net".into()),
    }
}

async fn found(store: &PostgresLocations, keep_for: Duration) -> BTreeMap<IpAddr, Location> {
    let addresses = [ip(1), ip(2), ip(3), "2001:4860::8888".parse().unwrap()];
    LocationStore::find(store, &addresses, keep_for).await.unwrap().into_iter().collect()
}

#[tokio::test]
async fn answers_come_back_as_they_were_kept_until_they_are_old() {
    in_schema("kept", |schema| async {
        let (store, other) = (schema.store(), schema.store());
        let v6: IpAddr = "2001:4860::8888".parse().unwrap();
        let (country_code, country) = (Some("FR".into()), Some("France".into()));
        let nearly_nothing = Location { country_code, country, ..Location::default() };
        let answers = [(ip(2), somewhere("Ulm")), (v6, nearly_nothing), (ip(1), somewhere("Bonn"))];
        LocationStore::keep(&*store, &answers).await.unwrap();
        assert_eq!(found(&other, HOUR).await, answers.into());

        schema.age("59 min").await;
        assert_eq!(found(&other, HOUR).await.len(), 3);
        LocationStore::keep(&*other, &[(ip(1), somewhere("Köln"))]).await.unwrap();
        schema.age("2 min").await;
        assert_eq!(found(&store, HOUR).await, [(ip(1), somewhere("Köln"))].into());
        assert_eq!(found(&store, Duration::MAX).await.len(), 3);
        assert_eq!(
            schema.number("SELECT count(*) FROM ip_locations WHERE source = 'ip2location'").await,
            3
        );
        schema
    })
    .await;
}

#[tokio::test]
async fn what_others_wrote_into_the_table_is_made_tidy() {
    in_schema("tidy", |schema| async {
        let (store, answers) = (schema.store(), [1, 2, 3].map(|n| (ip(n), somewhere("Ulm"))));
        LocationStore::keep(&*store, &answers).await.unwrap();
        let spoil = format!(
            "UPDATE ip_locations SET country_code = 'toolongcode' WHERE ip = '{}'; \
             UPDATE ip_locations SET latitude = 'NaN', city = ' - ', country_code = 'de' WHERE ip = '{}'",
            ip(1),
            ip(2)
        );
        schema.sql.batch_execute(&spoil).await.unwrap();
        let bare = Location { city: None, latitude: None, longitude: None, ..somewhere("") };
        let expected = [(ip(2), bare), (ip(3), somewhere("Ulm"))];
        assert_eq!(found(&store, HOUR).await, expected.into());
        schema
    })
    .await;
}

#[tokio::test]
async fn held_table_costs_answers_and_no_connection_for_ever() {
    in_schema("held", |mut schema| async {
        let (store, commits) = (schema.store(), schema.commits());
        commits.empty(PrivateTable::HashKeys).await.unwrap();
        let lock = schema.sql.transaction().await.unwrap();
        lock.batch_execute("LOCK TABLE ip_locations IN ACCESS EXCLUSIVE MODE").await.unwrap();
        // As the keeper does it: what takes too long is given up, with the statement still under way.
        for _ in 0..4 {
            let given_up = Duration::from_millis(100);
            let found = LocationStore::find(&*store, &[], HOUR);
            assert!(tokio::time::timeout(given_up, found).await.is_err());
        }
        let begun = std::time::Instant::now();
        commits.empty(PrivateTable::HashKeys).await.unwrap();
        assert!(begun.elapsed() < Duration::from_millis(800), "{:?}", begun.elapsed());
        // Each wait ends by itself, so that the budget can be asked for.
        let kept = LocationStore::keep(&*store, &[(ip(1), somewhere("Ulm"))]).await;
        assert!(matches!(kept, Err(StoreError::Unavailable(_))), "{kept:?}");
        let budget = Budget { count: NonZeroU64::MIN, period: BudgetPeriod::Day };
        assert_eq!(LocationStore::reserve(&*store, budget, 1).await.unwrap().granted, 1);
        // Nor is it emptied as long as somebody holds it; that is tried again.
        let emptied =
            tokio::time::timeout(Duration::from_secs(20), commits.empty(PrivateTable::Locations))
                .await;
        assert!(matches!(emptied, Ok(Err(StoreError::Unavailable(_)))), "{emptied:?}");
        lock.rollback().await.unwrap();
        LocationStore::keep(&*store, &[(ip(1), somewhere("Ulm"))]).await.unwrap();
        assert_eq!(found(&store, HOUR).await.len(), 1);
        schema
    })
    .await;
}

#[tokio::test]
async fn old_answers_are_forgotten_in_small_batches() {
    in_schema("forgotten", |schema| async {
        let store = schema.store();
        let answers: Vec<_> = (0..1500).map(|number| (ip(number), somewhere("Ulm"))).collect();
        LocationStore::keep(&*store, &answers).await.unwrap();
        schema.age("2 hours").await;
        LocationStore::keep(&*store, &answers[..3]).await.unwrap();
        for forgotten in [1000, 497, 0] {
            assert_eq!(LocationStore::forget(&*store, HOUR).await, Ok(forgotten));
        }
        assert_eq!(schema.number("SELECT count(*) FROM ip_locations").await, 3);
        schema
    })
    .await;
}

#[tokio::test]
async fn old_answers_are_forgotten_at_start() {
    in_schema("start", |schema| async {
        let answers: Vec<_> = (0..1500).map(|number| (ip(number), somewhere("Ulm"))).collect();
        LocationStore::keep(&*schema.store(), &answers).await.unwrap();
        schema.age("2 hours").await;
        LocationStore::keep(&*schema.store(), &answers[..3]).await.unwrap();
        let bench = Bench::new(|_| Reply::located("DE")).with(|s| s.keep_for = Some(HOUR));
        let (settings, metrics) = (bench.settings.clone(), bench.metrics.clone());
        // Nothing is asked of it: this is what it does by itself.
        let provider = Ip2Location::start(settings, schema.store(), metrics).unwrap();
        while schema.number("SELECT count(*) FROM ip_locations").await > 3 {}
        drop(provider);
        schema
    })
    .await;
}

#[tokio::test]
async fn budget_is_granted_once_whoever_asks_at_the_same_time() {
    in_schema("budget", |schema| async {
        let budget = |count, period| Budget { count: NonZeroU64::new(count).unwrap(), period };
        let day = budget(100, BudgetPeriod::Day);
        let stores = [schema.store(), schema.store(), schema.store()];
        let reserved = (0..30).map(|n| LocationStore::reserve(&*stores[n % 3], day, 7));
        let grants = futures::future::join_all(reserved).await;
        let granted: u64 = grants.iter().map(|grant| grant.as_ref().unwrap().granted).sum();
        assert_eq!(granted, 100);
        let last = LocationStore::reserve(&*stores[0], day, 7).await.unwrap();
        assert_eq!((last.granted, last.left), (0, 0));
        assert!(last.ends_in <= Duration::from_secs(86_400), "{last:?}");

        // Periods do not mix, a raised budget gives the difference, and a lowered one nothing.
        let month = budget(5, BudgetPeriod::Month);
        let grant = LocationStore::reserve(&*stores[0], month, 7).await.unwrap();
        assert_eq!((grant.granted, grant.left), (5, 0));
        assert!(grant.ends_in <= Duration::from_secs(31 * 86_400), "{grant:?}");
        let raised = budget(102, BudgetPeriod::Day);
        let grant = LocationStore::reserve(&*stores[0], raised, 7).await.unwrap();
        assert_eq!((grant.granted, grant.left), (2, 0));
        let lowered = budget(50, BudgetPeriod::Day);
        let grant = LocationStore::reserve(&*stores[0], lowered, 7).await.unwrap();
        assert_eq!((grant.granted, grant.left), (0, 0));
        assert_eq!(schema.number("SELECT used FROM geo_budget WHERE period = 'day'").await, 102);

        // What is given back counts as never reserved, in its own period.
        let grant = LocationStore::reserve(&*stores[0], budget(110, BudgetPeriod::Day), 7);
        let rest = Grant { granted: 3, ..grant.await.unwrap() };
        LocationStore::give_back(&*stores[1], day, rest).await.unwrap();
        assert_eq!(schema.number("SELECT used FROM geo_budget WHERE period = 'day'").await, 106);

        // The next period, as it will be.
        schema
            .sql
            .batch_execute("UPDATE geo_budget SET period_start = period_start - 1")
            .await
            .unwrap();
        let grant = LocationStore::reserve(&*stores[0], day, 7).await.unwrap();
        assert_eq!((grant.granted, grant.left), (7, 93));
        let rest = Grant { granted: 3, period: grant.period - 1, ..grant };
        LocationStore::give_back(&*stores[1], day, rest).await.unwrap();
        let used = "SELECT used FROM geo_budget WHERE period = 'day' ORDER BY period_start LIMIT 1";
        assert_eq!(schema.number(used).await, 103);
        let used = "SELECT min(used) FROM geo_budget WHERE period = 'day'";
        assert_eq!(schema.number(used).await, 7, "the present one");
        schema
    })
    .await;
}

#[tokio::test]
async fn restart_asks_for_nothing_again_and_spends_no_budget_twice() {
    in_schema("restart", |schema| async {
        let bench = Bench::new(|_| Reply::located("DE")).with(|settings| {
            settings.keep_for = Some(HOUR);
            let count = NonZeroU64::new(6).unwrap();
            settings.budget = Some(Budget { count, period: BudgetPeriod::Month });
        });
        let start = || {
            let (settings, metrics) = (bench.settings.clone(), bench.metrics.clone());
            let store = schema.store();
            Ip2Location::start(settings, store, metrics).unwrap()
        };
        locate_all(&start(), (0..4).map(ip)).await;
        let kept = "SELECT count(*) FROM ip_locations";
        let mut count = 0;
        while count < 4 {
            count = schema.number(kept).await;
        }
        let located = locate_all(&start(), (0..10).map(ip)).await;
        assert_eq!(located.iter().filter(|located| located.is_ok()).count(), 6);
        let again = start();
        for number in 0..4 {
            assert_eq!(country(again.locate(ip(number), 1).await), Ok("DE".into()));
        }
        eventually("the budget is spent", || bench.server.seen().len() == 6).await;
        assert!(bench.server.counts().values().all(|count| *count == 1));
        schema
    })
    .await;
}
