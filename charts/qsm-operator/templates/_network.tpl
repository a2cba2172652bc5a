{{- define "qsm.from" -}}
{{- with . }}
from:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "qsm.toDns" -}}
- ports:
  {{- range .dns.ports }}
    - {protocol: UDP, port: {{ . }}}
    - {protocol: TCP, port: {{ . }}}
  {{- end }}
  {{- with .dns.to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "qsm.toApiServer" -}}
- ports:
  {{- range .apiServer.ports }}
    - {protocol: TCP, port: {{ . }}}
  {{- end }}
  {{- with .apiServer.cidrs }}
  to:
  {{- range . }}
    - ipBlock: {cidr: {{ . | quote }}}
  {{- end }}
  {{- end }}
{{- end }}

{{- define "qsm.toPorts" -}}
- ports:
  {{- range .ports }}
    - {protocol: TCP, port: {{ . }}}
  {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "qsm.toMore" -}}
{{- with .extraEgress }}
{{- toYaml . }}
{{- end }}
{{- end }}
