-- A span that is a tool's, a model's or an agent's is one of the traces too: the event that tells of
-- its end has the attribute span.kind.
create or replace view automagik.traces as
select coalesce(e.trace_id, '') as trace_id, coalesce(e.span_id, '') as span_id,
       coalesce(e.parent_span_id, '') as parent_span_id,
       e.occurred_at as "timestamp",
       coalesce(runfold.whole(e.attributes ->> 'time_unix_nano'),
                (extract(epoch from e.occurred_at) * 1000000000)::bigint) as timestamp_ns,
       coalesce(round(e.duration_ms), 0)::bigint as duration_ms,
       coalesce(e.attributes ->> 'service.name', e.project, e.agent_name, '') as service_name,
       coalesce(e.name, e.tool_name, e.model, '') as span_name,
       upper(coalesce(e.attributes ->> 'span.kind', 'internal')) as span_kind,
       case when e.event_type = 'error.raised' or e.error_type is not null
                 or lower(e.status) in ('failure', 'failed', 'error', 'timeout')
            then 'ERROR' else 'OK' end as status_code,
       coalesce(e.error_message, '') as status_message,
       coalesce(e.project, e.agent_name, '') as project_name,
       coalesce(e.agent_version, e.attributes ->> 'system.project_version', '') as project_version,
       coalesce(e.environment, 'production') as environment,
       coalesce(e.host, '') as hostname,
       e.attributes,
       coalesce(e.user_id, '') as user_id, coalesce(e.session_id, '') as session_id,
       coalesce(e.attributes ->> 'system.os', '') as os_type,
       coalesce(e.attributes ->> 'system.os_version', '') as os_version,
       case when e.attributes ? 'system.python_version' then 'python'
            when e.attributes ? 'system.node_version' then 'node' else '' end as runtime_name,
       coalesce(e.attributes ->> 'system.python_version',
                e.attributes ->> 'system.node_version', '') as runtime_version,
       ''::text as cloud_provider, ''::text as cloud_region, ''::text as cloud_availability_zone,
       coalesce(e.attributes ->> 'otel.scope.name', 'automagik-telemetry')
           as instrumentation_library_name,
       coalesce(e.attributes ->> 'otel.scope.version', '') as instrumentation_library_version
from runfold.event_rows as e
where e.event_type = 'span.ended' or e.attributes ? 'span.kind'
      or (e.event_type in ('custom', 'error.raised') and e.attributes ? 'system.project_name');
