//! Sessions of a pool: how they are opened, and how one that does not answer is given up.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use bb8_postgres::PostgresConnectionManager;
use bb8_postgres::bb8::ManageConnection;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, Error};

use super::tls::Connector;

/// How long a server may take to open a session, connecting included; whoever waits for one does so for longer.
const OPENING: Duration = Duration::from_secs(8);
/// How long it may take to cancel a question.
const CANCELLING: Duration = Duration::from_secs(5);

/// A session, which its pool keeps unless it hangs.
pub(super) struct Session {
    client: Client,
    connector: Connector,
    hangs: bool,
}

impl Session {
    /// Gives the session up: its pool opens another instead. What it was asked is cancelled, as far as the server still
    /// hears that; otherwise each try would leave one behind that waits for the same lock.
    pub(super) fn give_up(&mut self) -> impl Future<Output = ()> + Send + use<> {
        self.hangs = true;
        let (token, connector) = (self.client.cancel_token(), self.connector.clone());
        async move {
            // Whether it was heard is not told, and changes nothing here.
            let _ = timeout(CANCELLING, token.cancel_query(connector)).await;
        }
    }
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

/// Why a session could not be opened.
#[derive(Debug)]
pub(super) enum NoSession {
    /// What client or server say.
    Refused(Error),
    /// The server takes connections and says nothing.
    Silent,
}

impl From<Error> for NoSession {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl fmt::Display for NoSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => f.write_str(&super::session::describe(error)),
            Self::Silent => {
                write!(f, "no answer to a new connection for {} s", OPENING.as_secs())
            }
        }
    }
}

/// Opens sessions.
pub(super) struct Manager {
    inner: PostgresConnectionManager<Connector>,
    connector: Connector,
}

impl Manager {
    pub(super) fn new(config: Config, connector: Connector) -> Self {
        Self { inner: PostgresConnectionManager::new(config, connector.clone()), connector }
    }
}

impl ManageConnection for Manager {
    type Connection = Session;
    type Error = NoSession;

    async fn connect(&self) -> Result<Session, NoSession> {
        let client =
            timeout(OPENING, self.inner.connect()).await.map_err(|_| NoSession::Silent)??;
        Ok(Session { client, connector: self.connector.clone(), hangs: false })
    }

    async fn is_valid(&self, session: &mut Session) -> Result<(), NoSession> {
        Ok(self.inner.is_valid(&mut session.client).await?)
    }

    fn has_broken(&self, session: &mut Session) -> bool {
        session.hangs || session.is_closed()
    }
}
