{{- define "qsm.fullname" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains "qsm" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-qsm" .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* Objects that belong to the whole cluster: their names must differ between releases. */}}
{{- define "qsm.clusterName" -}}
{{ printf "%s-%s" .Release.Namespace (include "qsm.fullname" .) }}
{{- end }}

{{- define "qsm.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: qsm-operator
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* (dict "root" . "component" "operator") */}}
{{- define "qsm.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "qsm.componentLabels" -}}
{{ include "qsm.labels" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "qsm.operatorAccount" -}}
{{ .Values.operator.serviceAccount.name | default (printf "%s-operator" (include "qsm.fullname" .)) }}
{{- end }}

{{- define "qsm.intakeAccount" -}}
{{ .Values.intake.serviceAccount.name | default (printf "%s-intake" (include "qsm.fullname" .)) }}
{{- end }}

{{- define "qsm.intakeNamespace" -}}
{{ .Values.intake.namespace | default .Release.Namespace }}
{{- end }}

{{- define "qsm.tokenSecret" -}}
{{ .Values.intake.hint.token.existingSecret | default (printf "%s-hint-token" (include "qsm.fullname" .)) }}
{{- end }}

{{- define "qsm.tlsSecret" -}}
{{ .Values.intake.hint.tls.existingSecret | default (printf "%s-hint-tls" (include "qsm.fullname" .)) }}
{{- end }}

{{- /* Connection Secrets that intake mounts: those named, and the trial Orthanc's. As a JSON list. */}}
{{- define "qsm.intakeConnections" -}}
{{- $names := .Values.intake.connections }}
{{- if .Values.trial.orthanc.enabled }}{{ $names = append $names (.Values.trial.orthanc.existingSecret | default (printf "%s-trial-orthanc" (include "qsm.fullname" .))) }}{{ end }}
{{- $names | uniq | toJson }}
{{- end }}

{{- /* Namespaces the operator looks after; empty means all. As a JSON list. */}}
{{- define "qsm.scopeNamespaces" -}}
{{- if eq .Values.scope.kind "Namespace" }}{{ list .Release.Namespace | toJson }}
{{- else if eq .Values.scope.kind "Namespaces" }}{{ .Values.scope.namespaces | uniq | toJson }}
{{- else }}[]
{{- end }}
{{- end }}

{{- /* Namespaces known to hold QSMJobs: where pipelines and the policies of their pods go. As a JSON list. */}}
{{- define "qsm.jobNamespaces" -}}
{{- $given := .Values.pipelines.namespaces }}
{{- if not $given }}{{ $given = include "qsm.scopeNamespaces" . | fromJsonArray }}{{ end }}
{{- if not $given }}{{ $given = list .Release.Namespace }}{{ end }}
{{- if and .Values.intake.enabled (not .Values.pipelines.namespaces) }}{{ $given = append $given (include "qsm.intakeNamespace" .) }}{{ end }}
{{- $given | uniq | toJson }}
{{- end }}

{{- /* What the script in Orthanc reads: where to send hints, the token, whom to trust. */}}
{{- define "qsm.hintEnvironment" -}}
- name: QSM_HINT_URL
  value: https://{{ include "qsm.fullname" . }}-intake.{{ include "qsm.intakeNamespace" . }}.svc:8443/hint/{{ .Values.trial.orthanc.existingSecret | default (printf "%s-trial-orthanc" (include "qsm.fullname" .)) }}
- name: QSM_HINT_TOKEN_FILE
  value: /etc/qsm-hint/token
- name: QSM_HINT_CA_FILE
  value: /etc/qsm-hint/ca.crt
{{- end }}

{{- /* Where the pages of docs/runbooks are read, without a slash at the end. */}}
{{- define "qsm.runbooks" -}}
{{- .Values.monitoring.runbookUrlPrefix | default "docs/runbooks" | trimSuffix "/" }}
{{- end }}
