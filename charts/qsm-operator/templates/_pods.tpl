{{- /* What PodSecurity "restricted" asks for, with the site's additions over it. */}}
{{- define "qsm.podSecurityContext" -}}
{{ merge (deepCopy (. | default dict)) (dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault")) | toYaml }}
{{- end }}

{{- define "qsm.securityContext" -}}
{{- $restricted := dict "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "runAsNonRoot" true "capabilities" (dict "drop" (list "ALL")) }}
{{- merge (deepCopy (. | default dict)) $restricted | toYaml }}
{{- end }}

{{- /* Placement of a pod: (the part of the values that has these keys). */}}
{{- define "qsm.placement" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* (dict "prefix" "QSM_OPERATOR_" "settings" .Values.operator.settings) */}}
{{- define "qsm.settings" -}}
{{- $prefix := .prefix }}
{{- range $name, $value := .settings }}
{{- if not (kindIs "invalid" $value) }}
- name: {{ $prefix }}{{ $name | snakecase | upper }}
  {{- /* A whole number of the values is a float to templates; 604800 must not become 6.048e+05. */}}
  value: {{ if kindIs "float64" $value }}{{ if eq $value (floor $value) }}{{ $value | int64 | quote }}{{ else }}{{ $value | quote }}{{ end }}{{ else }}{{ $value | quote }}{{ end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "qsm.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 3
  timeoutSeconds: 5
  failureThreshold: 40
livenessProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end }}
