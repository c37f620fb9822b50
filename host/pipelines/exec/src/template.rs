//! Parses the templates in the keys `run` and `env`, for example `cms-{version}`. A placeholder such as `{version}`
//! names a parameter of the pipeline.

use wardroom::base::{Template, nearest};

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ParameterError {
    pub(crate) message: String,
    /// A correct text for the configuration, which the error message suggests, for example `"{version}"`.
    pub(crate) fix: String,
}

/// Parses the template `text`. Returns an error if a placeholder is not one of the pipeline's `parameters`.
pub(crate) fn parse_template(text: &str, parameters: &[String]) -> Result<Template, ParameterError> {
    let template = Template::parse(text).map_err(|error| ParameterError {
        message: error.to_string(),
        fix: format!("{:?}   (a literal brace is written twice)", Template::escape(text)),
    })?;
    if let Some(name) = template.placeholders().find(|name| !parameters.iter().any(|parameter| parameter == name)) {
        return Err(unknown(text, name, parameters));
    }
    Ok(template)
}

fn unknown(text: &str, name: &str, parameters: &[String]) -> ParameterError {
    let message = if parameters.is_empty() {
        format!("`{text}` names the parameter `{name}`, but the pipeline has no parameters")
    } else {
        let listed: Vec<String> = parameters.iter().map(|name| format!("`{name}`")).collect();
        format!("`{text}` names the parameter `{name}`; the pipeline's parameters are {}", listed.join(", "))
    };
    let fix = match nearest(name, parameters.iter().map(String::as_str)) {
        Some(near) => format!("{:?}", text.replace(&format!("{{{name}}}"), &format!("{{{near}}}"))),
        None => format!("parameters = {{ {name} = '...' }}   (or `{{{{{name}}}}}` for a literal brace)"),
    };
    ParameterError { message, fix }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Template, ParameterError> {
        parse_template(text, &["version".to_owned(), "region".to_owned()])
    }

    #[test]
    fn an_invalid_template_is_reported_with_its_fix() {
        assert!(parse("a-{version}-{region}-{{x}}").is_ok());
        assert_eq!(parse("{versoin}").unwrap_err().fix, "\"{version}\"");
        assert_eq!(
            parse("{x}").unwrap_err().message,
            "`{x}` names the parameter `x`; the pipeline's parameters are `version`, `region`"
        );
        for text in ["{", "}", "a{version", "version}", "{version}}"] {
            assert_eq!(parse(text).unwrap_err().message, format!("`{text}` has an unmatched brace"));
        }
        assert_eq!(parse("a}").unwrap_err().fix, "\"a}}\"   (a literal brace is written twice)");
    }
}
