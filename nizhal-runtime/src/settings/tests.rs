use super::*;

fn with(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    Settings::from_lookup("ledger", |name| {
        variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn defaults() {
    let settings = with(&[]).unwrap();
    assert_eq!(settings.database_url.as_str(), "sqlite://ledger.db");
    assert_eq!((settings.host.as_str(), settings.port), ("127.0.0.1", 4000));
    assert_eq!(settings.mode, Mode::Development);
    assert_eq!(settings.max_body_bytes, 1_048_576);
    assert_eq!(settings.cors, Cors::Off);
    assert!(settings.auth_secret.is_none() && settings.admin_password.is_none());
}

#[test]
fn an_empty_variable_is_unset() {
    let settings = with(&[("PORT", ""), ("NIZHAL_AUTH_SECRET", " "), ("DATABASE_URL", "")]).unwrap();
    assert_eq!(settings.port, 4000);
    assert!(settings.auth_secret.is_none());
    assert_eq!(settings.database_url.as_str(), "sqlite://ledger.db");
}

#[test]
fn values_that_read() {
    let settings = with(&[
        ("DATABASE_URL", "postgres://u:p@db/app"),
        ("HOST", "::1"),
        ("PORT", "0"),
        ("NIZHAL_ENV", "production"),
        ("NIZHAL_RATE_LIMIT", "120/60s"),
        ("NIZHAL_MAX_BODY_BYTES", "2048"),
        ("NIZHAL_CORS", "https://a.example, http://localhost:5173"),
        ("NIZHAL_DB_POOL", "3"),
        ("NIZHAL_JOB_WORKERS", "0"),
        ("NIZHAL_AUDIT_DAYS", "0"),
        ("NIZHAL_AUDIT_ARGS", "on"),
        ("NIZHAL_MAX_BUCKETS", "7"),
        ("NIZHAL_METRICS", "open"),
        ("NIZHAL_LOG_FORMAT", "json"),
        ("NIZHAL_JWKS", "https://id.example/keys"),
        ("NIZHAL_JWT_AUDIENCE", "web, phone"),
        ("NIZHAL_JWT_ISSUER", " https://id.example/ "),
    ])
    .unwrap();
    assert_eq!((settings.audit_days, settings.audit_args), (Some(0), true));
    assert_eq!((settings.max_buckets, settings.metrics_open), (7, true));
    assert_eq!(settings.log_format, LogFormat::Json);
    assert!(with(&[("NIZHAL_LOG_FORMAT", "xml")]).is_err());
    assert_eq!(settings.jwks, Some(JwksSource::Url("https://id.example/keys".to_owned())));
    assert_eq!(settings.jwt_audience, ["web", "phone"]);
    assert_eq!(settings.jwt_issuer.as_deref(), Some("https://id.example/"));
    assert_eq!(with(&[("NIZHAL_AUDIT_DAYS", "off")]).unwrap().audit_days, None);
    assert_eq!(with(&[("NIZHAL_JWKS", "keys.json")]).unwrap().jwks, Some(JwksSource::File("keys.json".into())));
    assert_eq!((settings.host.as_str(), settings.port, settings.db_pool), ("::1", 0, 3));
    assert_eq!(settings.job_workers, 0);
    assert_eq!(settings.mode, Mode::Production);
    let limit = settings.rate_limit.unwrap();
    assert_eq!((limit.requests.get(), limit.period.as_secs()), (120, 60));
    assert_eq!(settings.cors, Cors::Origins(vec!["https://a.example".into(), "http://localhost:5173".into()]));
    assert_eq!(with(&[("NIZHAL_RATE_LIMIT", "off")]).unwrap().rate_limit, None);
    assert_eq!(with(&[("NIZHAL_CORS", "*")]).unwrap().cors, Cors::Any);
}

#[test]
fn values_that_do_not_read_name_the_variable() {
    let table = [
        ("DATABASE_URL", "mysql://db/app"),
        ("DATABASE_URL", "ledger.db"),
        ("DATABASE_URL", "postgres://"),
        ("HOST", "http://localhost"),
        ("HOST", "127.0.0.1:80"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", "http"),
        ("NIZHAL_ENV", "prod"),
        ("NIZHAL_RATE_LIMIT", "0/60s"),
        ("NIZHAL_RATE_LIMIT", "120/0s"),
        ("NIZHAL_RATE_LIMIT", "120/60"),
        ("NIZHAL_RATE_LIMIT", "120"),
        ("NIZHAL_RATE_LIMIT", "-3/60s"),
        ("NIZHAL_MAX_BODY_BYTES", "1MB"),
        ("NIZHAL_MAX_BODY_BYTES", "0"),
        ("NIZHAL_CORS", "example.com"),
        ("NIZHAL_CORS", "https://a.example/path"),
        ("NIZHAL_CORS", "https://a.example,*"),
        ("NIZHAL_DB_POOL", "0"),
        ("NIZHAL_DB_POOL", "many"),
        ("NIZHAL_TOMBSTONE_DAYS", "0"),
        ("NIZHAL_TOMBSTONE_DAYS", "a month"),
        ("NIZHAL_JOB_WORKERS", "-1"),
        ("NIZHAL_JOB_WORKERS", "101"),
        ("NIZHAL_AUDIT_DAYS", "-1"),
        ("NIZHAL_AUDIT_DAYS", "36501"),
        ("NIZHAL_AUDIT_ARGS", "yes"),
        ("NIZHAL_MAX_BUCKETS", "0"),
        ("NIZHAL_MAX_BUCKETS", "all"),
        ("NIZHAL_METRICS", "on"),
        ("NIZHAL_JWKS", "ftp://id.example/keys"),
        ("NIZHAL_JWKS", "https:///keys"),
        ("NIZHAL_JWKS", "https://id.example/a b"),
        ("NIZHAL_JWT_AUDIENCE", "a,,b"),
    ];
    for (name, value) in table {
        let text = with(&[(name, value)]).expect_err(&format!("{name}={value}")).to_string();
        assert!(text.starts_with(&format!("{name} is `")), "{text}");
        assert!(text.contains("write "), "{text}");
        assert!(!text.contains('\n'), "{text}");
    }
}

#[test]
fn a_database_url_never_shows_its_password() {
    let text = with(&[("DATABASE_URL", "mysql://u:hunter2@db/app")]).unwrap_err().to_string();
    assert!(!text.contains("hunter2"), "{text}");
    let text = with(&[("NIZHAL_JWKS", "https://u:hunter2@id.example/keys")]).unwrap_err().to_string();
    assert!(!text.contains("hunter2"), "{text}");
    let mut settings = Settings::defaults("ledger");
    for url in ["postgres://u:hunter2@db/app", "postgres://u:a@hunter2@db/app", "postgres://db/app?password=hunter2"] {
        settings.database_url = url.into();
        settings.realtime.listen_url = Some(url.into());
        settings.jwks = Some(JwksSource::Url("https://id.example/keys?key=hunter2".to_owned()));
        settings.realtime.nats.url = "nats://u:hunter2@nats:4222".to_owned();
        settings.admin_password = Some(Secret::new("hunter2"));
        let printed = format!("{settings:?} {}", settings.database_url);
        assert!(!printed.contains("hunter2"), "{printed}");
    }
}

#[test]
fn secrets_by_mode() {
    let long = "0123456789abcdef0123456789abcdef";
    let signing = |variables: &[(&str, &str)]| with(variables).unwrap().signing_secret();
    assert!(signing(&[]).unwrap().made_here);
    let production = ("NIZHAL_ENV", "production");
    assert_eq!(signing(&[production]).unwrap_err(), SettingsError::SecretMissing);
    assert_eq!(signing(&[production, ("NIZHAL_AUTH_SECRET", long)]).unwrap().secret, Secret::new(long));
}

#[test]
fn a_secret_that_can_be_guessed_is_refused_in_every_mode() {
    for (name, value, least) in [
        ("NIZHAL_AUTH_SECRET", "0123456789abcdef0123456789abcde", 32),
        ("NIZHAL_AUTH_SECRET", "short", 32),
        ("NIZHAL_ADMIN_PASSWORD", "hunter2", 16),
    ] {
        for mode in ["development", "production"] {
            let settings = with(&[("NIZHAL_ENV", mode), (name, value)]).unwrap();
            let bytes = value.len();
            assert_eq!(settings.check().unwrap_err(), SettingsError::SecretShort { name, bytes, least });
        }
        assert_eq!(with(&[(name, &"x".repeat(least))]).unwrap().check(), Ok(()));
    }
}

#[test]
fn development_listens_on_loopback_alone() {
    let check = |mode: &str, host: &str| with(&[("NIZHAL_ENV", mode), ("HOST", host)]).unwrap().check_listener();
    for host in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", "localhost", "LOCALHOST"] {
        assert_eq!(check("development", host), Ok(()), "{host}");
    }
    for host in ["0.0.0.0", "::", "192.168.1.7", "ledger.example", "::ffff:10.0.0.1", "127.0.0.1.example"] {
        assert!(matches!(check("development", host), Err(SettingsError::DevelopmentInTheOpen { .. })), "{host}");
        assert_eq!(check("production", host), Ok(()), "{host}");
    }
}
