//! The client of a configured account: the one place where a kind of gateway becomes what calls it.

use payrun_gateway::transport::Transport;
use payrun_gateway::{Gateway, cbtis, egms, hipopay, wechat};
use payrun_system::clock::Clock;

use super::GatewayKind;

/// An account whose client cannot be made, such as for a key that is none.
pub type ClientError = Box<dyn std::error::Error + Send + Sync>;

impl GatewayKind {
    /// What calls this account through `transport`.
    ///
    /// # Errors
    /// What the client says of its settings.
    pub fn client(
        &self,
        transport: Transport,
        clock: Clock,
    ) -> Result<Box<dyn Gateway>, ClientError> {
        Ok(match self {
            Self::Wechat(account) => {
                Box::new(wechat::WechatClient::new(account, transport, clock)?)
            }
            Self::Hipopay(account) => {
                Box::new(hipopay::HipopayClient::new(account, transport, clock)?)
            }
            Self::Egms(account) => Box::new(egms::EgmsClient::new(account, transport, clock)?),
            Self::Cbtis(account) => Box::new(cbtis::CbtisClient::new(account, transport, clock)?),
        })
    }
}
