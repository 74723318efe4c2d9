//! Managed identities: the endpoint of a virtual machine (IMDS) and that of App Service. Numbers are texts there.

use serde_json::json;

use super::Tenant;
use super::assumptions as known;
use super::context::Context;
use super::encoding::{field, form};
use super::token::Issued;
use super::wire::Response;

type Refused = (u16, &'static str, &'static str);

impl Tenant {
    /// A virtual machine's.
    pub(super) fn imds(&mut self, context: &Context<'_>) -> Response {
        let told = context.request.metadata.as_deref().is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let checked = if told { self.identity(context, known::IMDS_VERSION) } else { Err(known::NO_METADATA) };
        match checked {
            Ok((place, resource)) => {
                let client = self.client_id(place);
                let Issued { token, life, issued } = self.issue(context, place);
                let body = json!({
                    "access_token": token, "client_id": client, "expires_in": life.to_string(),
                    "expires_on": issued.saturating_add_unsigned(life).to_string(),
                    "ext_expires_in": life.to_string(), "not_before": issued.to_string(), "resource": resource,
                    "token_type": "Bearer",
                });
                Response::json(200, &body)
            }
            Err((status, error, text)) => Response::json(status, &json!({ "error": error, "error_description": text })),
        }
    }

    /// App Service's.
    pub(super) fn app_service(&mut self, context: &Context<'_>) -> Response {
        let told = context.request.identity_header.as_deref() == Some(&self.settings.identity_header);
        let checked =
            if told { self.identity(context, known::APP_SERVICE_VERSION) } else { Err(known::IDENTITY_HEADER) };
        match checked {
            Ok((place, resource)) => {
                let client = self.client_id(place);
                let Issued { token, life, issued } = self.issue(context, place);
                let body = json!({
                    "access_token": token, "client_id": client, "resource": resource, "token_type": "Bearer",
                    "expires_on": issued.saturating_add_unsigned(life).to_string(),
                });
                Response::json(200, &body)
            }
            Err((status, _, text)) => Response::json(status, &json!({ "statusCode": status, "message": text })),
        }
    }

    /// Which application the machine is asked to be, and for which resource. The first is the one assigned by the system.
    fn identity(&self, context: &Context<'_>, version: &str) -> Result<(usize, String), Refused> {
        let query = form(context.request.query());
        if field(&query, "api-version") != version {
            return Err(known::API_VERSION);
        }
        let resource = match field(&query, "resource") {
            "" => return Err(known::NO_RESOURCE),
            resource => resource,
        };
        if !self.is_graph(context.request, resource) {
            return Err(known::MANAGED_RESOURCE);
        }
        let named = |names: &[&str]| {
            names.iter().map(|name| field(&query, name)).find(|value| !value.is_empty()).map(str::to_lowercase)
        };
        let (client, object) = (named(&["client_id"]), named(&["object_id", "principal_id"]));
        let full_name = named(&["msi_res_id", "mi_res_id"]);
        let is = |given: &Option<String>, own: &str| given.as_ref().is_none_or(|given| own.eq_ignore_ascii_case(given));
        let place = self.settings.all_apps().position(|app| {
            is(&client, app.client_id)
                && is(&object, &app.trusted.object_id)
                && is(&full_name, &app.trusted.resource_id)
        });
        Ok((place.ok_or(known::NO_IDENTITY)?, resource.to_owned()))
    }

    fn client_id(&self, place: usize) -> String {
        self.settings.all_apps().nth(place).map_or_else(String::new, |app| app.client_id.to_owned())
    }
}
