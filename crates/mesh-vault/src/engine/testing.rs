//! What tests of engines and auth methods share: a mount over a store in memory, with a clock that stands.

use crate::{
    logical::{Context, Engine, Object, Operation, Refusal, Request, Response, TokenFacts},
    storage::{Memory, Store, Transaction},
};
use serde_json::{Value, json};
use std::{
    net::IpAddr,
    time::{Duration, UNIX_EPOCH},
};

/// An engine with its store.
pub(crate) struct Mount<E> {
    pub(crate) engine: E,
    pub(crate) context: Context,
    pub(crate) remote: Option<IpAddr>,
    pub(crate) storage_id: String,
    pub(crate) store: Memory,
}

impl<E: Engine> Mount<E> {
    pub(crate) fn new(engine: E, path: &str, options: &[(&str, &str)]) -> Self {
        let context = Context {
            now: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
            mount: path.to_owned(),
            accessor: "test_1".to_owned(),
            options: options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            default_ttl: Duration::from_secs(2_764_800),
            max_ttl: Duration::from_secs(2_764_800),
        };
        let remote = Some(IpAddr::from([127, 0, 0, 1]));
        let mut mount =
            Self { engine, context, remote, storage_id: "token".to_owned(), store: Memory::default() };
        mount.remount();
        mount
    }

    pub(crate) fn remount(&mut self) {
        let mut transaction = Transaction::new(&self.store, "logical/1/");
        self.engine.mounted(&self.context, &mut transaction).unwrap();
        drop(self.store.commit(transaction.into_batch()));
    }

    pub(crate) fn tick(&mut self) {
        let mut transaction = Transaction::new(&self.store, "logical/1/");
        self.engine.tick(&self.context, &mut transaction).unwrap();
        drop(self.store.commit(transaction.into_batch()));
    }

    pub(crate) fn pass(&mut self, seconds: u64) {
        self.context.now += Duration::from_secs(seconds);
    }

    /// Asks as the core asks: a write to where nothing is is a `Create`, and what was written is committed.
    pub(crate) fn ask(&mut self, operation: Operation, path: &str, data: Value) -> Result<Response, Refusal> {
        let data: Object = data.as_object().cloned().unwrap_or_default();
        let token = TokenFacts { storage_id: self.storage_id.clone(), ..TokenFacts::default() };
        let mut request = Request {
            operation,
            path: path.to_owned(),
            data,
            token: Some(token),
            remote: self.remote,
            internal: Object::new(),
        };
        let mut transaction = Transaction::new(&self.store, "logical/1/");
        if operation == Operation::Update
            && self.engine.exists(&request, &self.context, &transaction)? == Some(false)
        {
            request.operation = Operation::Create;
        }
        if operation == Operation::Renew {
            request.internal = std::mem::take(&mut request.data);
        }
        let answer = self.engine.handle(&request, &self.context, &mut transaction);
        let batch = if answer.is_ok() { transaction.into_batch() } else { transaction.into_standing() };
        drop(self.store.commit(batch));
        answer
    }

    /// The status and what is shown: `data` as it is, the text of a refusal, and warnings if there are any.
    pub(crate) fn check(&mut self, operation: Operation, path: &str, data: Value) -> (u16, Value) {
        let shown = |status: u16, answer: Response| {
            if let Some(raw) = answer.raw {
                return (raw.status, Value::Null);
            }
            let data = answer.data.map_or(Value::Null, Value::Object);
            let empty = data.is_null() && answer.auth.is_none() && answer.warnings.is_empty();
            let status = answer.status.unwrap_or(if empty && status == 200 { 204 } else { status });
            let shown = match answer.warnings.is_empty() {
                true => data,
                false => json!({"data": data, "warnings": answer.warnings}),
            };
            (status, shown)
        };
        match self.ask(operation, path, data) {
            Ok(answer) => shown(200, answer),
            Err(Refusal::NotFoundWith(answer)) => shown(404, *answer),
            Err(refusal) => (refusal.status(), Value::String(refusal.to_string())),
        }
    }

    /// A write that has to succeed.
    pub(crate) fn write(&mut self, path: &str, data: Value) -> Value {
        self.succeed(Operation::Update, path, data)
    }

    /// A read that has to succeed.
    pub(crate) fn read(&mut self, path: &str) -> Value {
        self.succeed(Operation::Read, path, Value::Null)
    }

    pub(crate) fn succeed(&mut self, operation: Operation, path: &str, data: Value) -> Value {
        let (status, answer) = self.check(operation, path, data);
        assert!(status < 300, "{operation:?} {path}: {status} {answer}");
        answer
    }
}
