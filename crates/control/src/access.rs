//! How a registered service is reached.

use std::time::Duration;

use sterna_model::{ConfigRewrite, Secrets, Service, TlsSpec};
use sterna_node::connect::CONNECT_TIMEOUT;
use sterna_node::sentinel::listed::{Listed, identify};
use sterna_node::sentinel::{SentinelError, Watched, find_watched};
use sterna_node::upstream::CandidateFailure;
use sterna_node::{ClientTls, Dialer, Endpoints, NodeAddress, TlsSettings, Upstream};
use sterna_protocol::{Credentials, Secret};

use crate::error::ControlError;
use crate::observe::NodeKey;

/// How long one command of control may take. A node that needs longer is asked again.
pub(crate) const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);

/// A service, with what is needed to log in to its nodes.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) service: Service,
    /// The address in it stands for any.
    dialer: Dialer,
    sentinel: Option<Dialer>,
}

impl Access {
    /// How a service is reached, with its TLS files: they may lie where reading takes its time.
    pub(crate) async fn read(service: Service, secrets: Secrets) -> Result<Self, ControlError> {
        if service.spec.tls.is_none() {
            return Self::new(service, &secrets);
        }
        let name = service.spec.name.clone();
        let read = tokio::task::spawn_blocking(move || Self::new(service, &secrets)).await;
        read.unwrap_or_else(|_| {
            Err(ControlError::Server(format!(
                "the TLS files of service {name} can't be read"
            )))
        })
    }

    fn new(service: Service, secrets: &Secrets) -> Result<Self, ControlError> {
        let spec = &service.spec;
        let name = &spec.name;
        let Some(first) = spec
            .nodes
            .first()
            .or_else(|| spec.sentinel.as_ref()?.nodes.first())
            .cloned()
        else {
            return Err(ControlError::Invalid(format!(
                "service {name} names no node and no Sentinel"
            )));
        };
        let tls = spec.tls.as_ref().map(client_tls).transpose().map_err(|error| {
            ControlError::Invalid(format!(
                "the TLS settings of service {name} are of no use: {error}"
            ))
        })?;
        let dialer = Dialer {
            address: first,
            tls: tls.clone(),
            credentials: credentials(spec.username.as_ref(), secrets.password.as_ref()),
            connect_timeout: CONNECT_TIMEOUT,
        };
        let sentinel = spec.sentinel.as_ref().map(|sentinel| Dialer {
            tls: tls.filter(|_| sentinel.tls),
            credentials: credentials(sentinel.username.as_ref(), secrets.sentinel_password.as_ref()),
            ..dialer.clone()
        });
        Ok(Self {
            service,
            dialer,
            sentinel,
        })
    }

    /// Its nodes.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeKey> {
        let spec = &self.service.spec;
        spec.nodes.iter().map(|address| NodeKey {
            service: spec.name.clone(),
            address: address.clone(),
        })
    }

    /// Whether its nodes' configuration files are rewritten.
    pub(crate) fn config_rewrite(&self) -> ConfigRewrite {
        self.service.spec.config_rewrite
    }

    /// How to reach one of its nodes.
    pub(crate) fn node(&self, address: &NodeAddress) -> Dialer {
        self.dialer.at(address.clone())
    }

    /// The service as a shard follows it: one node, and only while that is a primary. Which node that is decides control.
    pub(crate) fn upstream(&self, node: &NodeAddress) -> Upstream {
        Upstream {
            endpoints: Endpoints::Nodes(vec![node.clone()]),
            node: self.node(node),
            sentinel: None,
            takes_replica: false,
            command_timeout: COMMAND_TIMEOUT,
        }
    }

    /// The whole service, as a person named it: for checks.
    pub(crate) fn whole(&self) -> Upstream {
        match &self.service.spec.sentinel {
            Some(sentinel) => Upstream {
                endpoints: Endpoints::Sentinel {
                    sentinels: sentinel.nodes.clone(),
                    master_name: sentinel.master_name.clone(),
                },
                ..self.named()
            },
            None => self.named(),
        }
    }

    /// The service by its nodes alone, whatever its Sentinels say.
    pub(crate) fn named(&self) -> Upstream {
        Upstream {
            endpoints: Endpoints::Nodes(self.service.spec.nodes.clone()),
            node: self.dialer.clone(),
            sentinel: self.sentinel.clone(),
            takes_replica: false,
            command_timeout: COMMAND_TIMEOUT,
        }
    }

    /// What the service's own Sentinels know; none where it has no Sentinels.
    pub(crate) async fn watched(&self) -> Result<Option<Watched>, SentinelError> {
        let (Some(spec), Some(base)) = (&self.service.spec.sentinel, &self.sentinel) else {
            return Ok(None);
        };
        let sentinels: Vec<_> = spec
            .nodes
            .iter()
            .map(|address| base.at(address.clone()))
            .collect();
        find_watched(&sentinels, &spec.master_name, COMMAND_TIMEOUT)
            .await
            .map(Some)
    }

    /// What the addresses are that its Sentinels list, the primary's first; `known` is a node of it that answers.
    pub(crate) async fn listed(
        &self,
        watched: &Watched,
        known: &NodeAddress,
    ) -> Result<Vec<(NodeAddress, Listed)>, CandidateFailure> {
        let listed: Vec<_> = [&watched.primary]
            .into_iter()
            .chain(&watched.replicas)
            .cloned()
            .collect();
        identify(&listed, known, &self.dialer, COMMAND_TIMEOUT).await
    }

    /// What clients are told for a node.
    pub(crate) fn client_address(&self, node: &NodeAddress) -> NodeAddress {
        let spec = &self.service.spec;
        let place = spec.nodes.iter().position(|known| known == node);
        place
            .and_then(|place| spec.client_addresses.get(place))
            .unwrap_or(node)
            .clone()
    }
}

fn credentials(user: Option<&String>, password: Option<&String>) -> Credentials {
    Credentials {
        user: user.cloned(),
        password: password.map(|password| Secret::new(password.as_str())),
    }
}

fn client_tls(spec: &TlsSpec) -> Result<ClientTls, sterna_node::TlsError> {
    ClientTls::new(&TlsSettings {
        ca: spec.ca_file.clone(),
        client_cert: spec.cert_file.clone(),
        client_key: spec.key_file.clone(),
        server_name: spec.server_name.clone(),
        verify: !spec.insecure,
    })
}
