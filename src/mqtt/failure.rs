//! Why there is no connection, in the few words that decide what is done about it.

use std::error::Error;
use std::io;

use rustls::CertificateError;

/// Why a connection ended or did not come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    PortRefuses,
    LoginRefused,
    /// DISCONNECT 0x8E.
    TakenOver,
    /// Another client uses our id: its canary came to us.
    Twin,
    /// The machine slept: whether the other side still knows of the connection shows only when it is too late.
    Slept,
    /// End of stream, or a reset.
    PeerClosed,
    /// The same, in the place of an answer to a subscription.
    ClosedAtSubscribe,
    /// The other side does not speak this version of MQTT.
    Unsupported,
    /// No retained messages, so no retained last will.
    RetainRefused,
    /// Nothing but QoS 0.
    QosRefused,
    /// A message is larger than we take.
    TooLarge,
    /// No CONNACK in time.
    Silent,
    /// The broker's certificate is not taken.
    Certificate(Flaw),
    /// The broker does not take our certificate, or wants one.
    OwnCertificate,
    /// TLS failed otherwise.
    Tls,
    Other,
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    Expired,
    NotYetValid,
    UnknownIssuer,
    WrongName,
    Other,
}

impl Cause {
    /// Its name in counters.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Cause::PortRefuses => "port_refuses",
            Cause::LoginRefused => "login_refused",
            Cause::TakenOver => "told_taken_over",
            Cause::Twin => "twin",
            Cause::Slept => "slept",
            Cause::PeerClosed => "peer_closed",
            Cause::ClosedAtSubscribe => "closed_at_subscribe",
            Cause::Unsupported => "unsupported_protocol",
            Cause::RetainRefused => "retain_refused",
            Cause::QosRefused => "qos_refused",
            Cause::TooLarge => "too_large",
            Cause::Silent => "silent",
            Cause::Certificate(Flaw::Expired) => "certificate_expired",
            Cause::Certificate(Flaw::NotYetValid) => "certificate_not_yet_valid",
            Cause::Certificate(Flaw::UnknownIssuer) => "certificate_unknown_issuer",
            Cause::Certificate(Flaw::WrongName) => "certificate_wrong_name",
            Cause::Certificate(Flaw::Other) => "certificate_refused",
            Cause::OwnCertificate => "own_certificate",
            Cause::Tls => "tls",
            Cause::Other => "other",
        }
    }

    pub(super) fn of_io(error: &io::Error) -> Cause {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Cause::PortRefuses,
            // A socket in the file system that is not there, or whose broker is gone.
            io::ErrorKind::NotFound => Cause::PortRefuses,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::UnexpectedEof => Cause::PeerClosed,
            _ => Cause::of_tls(error),
        }
    }

    /// Looks for an error of rustls, however deep it lies.
    pub(super) fn of_tls(error: &(dyn Error + 'static)) -> Cause {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(tls) = error.downcast_ref::<rustls::Error>() {
                return Cause::of_rustls(tls);
            }
            let io = error.downcast_ref::<io::Error>();
            if let Some(inner) = io.and_then(io::Error::get_ref).and_then(|inner| inner.downcast_ref::<rustls::Error>())
            {
                return Cause::of_rustls(inner);
            }
            if let Some(io) = io
                && matches!(io.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof)
            {
                return Cause::PeerClosed;
            }
            next = error.source();
        }
        Cause::Other
    }

    fn of_rustls(error: &rustls::Error) -> Cause {
        use rustls::AlertDescription as Alert;
        let flaw = match error {
            rustls::Error::InvalidCertificate(flaw) => flaw,
            rustls::Error::AlertReceived(
                Alert::CertificateRequired
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied,
            ) => return Cause::OwnCertificate,
            _ => return Cause::Tls,
        };
        Cause::Certificate(match flaw {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Flaw::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Flaw::NotYetValid,
            CertificateError::UnknownIssuer => Flaw::UnknownIssuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Flaw::WrongName,
            _ => Flaw::Other,
        })
    }
}

/// A connection that ended or did not come about.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) cause: Cause,
    /// In rumqttc's words; they hold no secrets.
    pub(super) text: String,
}

impl Failure {
    pub(super) fn new(cause: Cause, error: &(dyn Error + 'static)) -> Self {
        Failure { cause, text: error.to_string() }
    }
}
