{{- define "runfold.labels" -}}
app.kubernetes.io/name: runfold
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "runfold.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "runfold.environment" -}}
- {name: RUNFOLD_BROKER, value: {{ required "kafka.bootstrap is required" .Values.kafka.bootstrap | quote }}}
- {name: RUNFOLD_LAKE, value: {{ .Values.lake.url | default "/lake" | quote }}}
- {name: RUNFOLD_DATA_DIR, value: /data}
{{- if .Values.s3.region }}
- {name: AWS_REGION, value: {{ .Values.s3.region | quote }}}
{{- end }}
{{- if .Values.s3.endpoint }}
- {name: AWS_ENDPOINT_URL, value: {{ .Values.s3.endpoint | quote }}}
{{- end }}
{{- end }}

{{- define "runfold.secrets" -}}
{{- if .Values.s3.existingSecret }}
- secretRef: {name: {{ .Values.s3.existingSecret }}}
{{- end }}
{{- end }}

{{- define "runfold.pod" -}}
serviceAccountName: {{ .Release.Name }}-runfold
automountServiceAccountToken: false
terminationGracePeriodSeconds: 40
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "runfold.container" -}}
image: {{ include "runfold.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "runfold.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: data, mountPath: /data}
{{- if not .Values.lake.url }}
- {name: lake, mountPath: /lake}
{{- end }}
{{- end }}

{{- define "runfold.volumes" -}}
- {name: tmp, emptyDir: {}}
{{- if not .Values.lake.url }}
- {name: lake, persistentVolumeClaim: {claimName: {{ .Release.Name }}-lake}}
{{- end }}
{{- end }}

{{- define "runfold.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "runfold.labels" . | nindent 8 }}
{{- end }}
