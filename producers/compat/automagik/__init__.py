"""The Automagik telemetry SDK's names, recorded by runfold. See docs/compat-automagik.md.

`import runfold.producers.compat.automagik as automagik_telemetry` is all that a program changes;
the submodules `client`, `config`, `opt_in`, `privacy` and `schema` are where they were.
"""

from importlib.metadata import version

from runfold.producers.compat.automagik.client import (
    AutomagikTelemetry,
    LogSeverity,
    MetricType,
    TelemetryConfig,
)
from runfold.producers.compat.automagik.config import (
    DEFAULT_CONFIG,
    ENV_VARS,
    ValidatedConfig,
    create_config,
    load_config_from_env,
    merge_config,
    validate_config,
)
from runfold.producers.compat.automagik.config import TelemetryConfig as ConfigTelemetryConfig
from runfold.producers.compat.automagik.opt_in import (
    TelemetryOptIn,
    prompt_user_if_needed,
    should_prompt_user,
)
from runfold.producers.compat.automagik.privacy import (
    SENSITIVE_KEYS,
    PrivacyConfig,
    detect_pii,
    hash_value,
    redact_sensitive_keys,
    sanitize_email,
    sanitize_phone,
    sanitize_telemetry_data,
    sanitize_value,
    truncate_string,
)
from runfold.producers.compat.automagik.schema import StandardEvents

TelemetryClient = AutomagikTelemetry
ConfigSchema = ConfigTelemetryConfig

__version__ = version("runfold")

__all__ = [
    "DEFAULT_CONFIG",
    "ENV_VARS",
    "SENSITIVE_KEYS",
    "AutomagikTelemetry",
    "ConfigSchema",
    "ConfigTelemetryConfig",
    "LogSeverity",
    "MetricType",
    "PrivacyConfig",
    "StandardEvents",
    "TelemetryClient",
    "TelemetryConfig",
    "TelemetryOptIn",
    "ValidatedConfig",
    "create_config",
    "detect_pii",
    "hash_value",
    "load_config_from_env",
    "merge_config",
    "prompt_user_if_needed",
    "redact_sensitive_keys",
    "sanitize_email",
    "sanitize_phone",
    "sanitize_telemetry_data",
    "sanitize_value",
    "should_prompt_user",
    "truncate_string",
    "validate_config",
]
