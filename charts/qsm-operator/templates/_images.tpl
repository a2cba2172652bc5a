{{- /* (dict "root" . "image" .Values.operator.image) -> registry/name@digest, or :tag. checks.yaml sees that a registry is said. */}}
{{- define "qsm.image" -}}
{{- $registry := .root.Values.global.imageRegistry | default .image.registry }}
{{- $name := printf "%s/%s" (trimSuffix "/" $registry) .image.repository }}
{{- if .image.digest }}{{ printf "%s@%s" $name .image.digest }}
{{- else }}{{ printf "%s:%s" $name (.image.tag | default .root.Chart.AppVersion) }}
{{- end }}
{{- end }}

{{- define "qsm.operatorImage" -}}
{{ include "qsm.image" (dict "root" . "image" .Values.operator.image) }}
{{- end }}

{{- define "qsm.intakeImage" -}}
{{- $own := .Values.intake.image }}
{{- $base := .Values.operator.image }}
{{- $image := dict "registry" ($own.registry | default $base.registry) "repository" ($own.repository | default $base.repository) }}
{{- /* An own repository or tag is another image: the operator's digest does not name it. */}}
{{- $isOwn := or $own.repository $own.tag $own.digest }}
{{- $_ := set $image "tag" (ternary $own.tag $base.tag (not (empty $isOwn))) }}
{{- $_ := set $image "digest" (ternary $own.digest $base.digest (not (empty $isOwn))) }}
{{- include "qsm.image" (dict "root" . "image" $image) }}
{{- end }}

{{- define "qsm.reconImage" -}}
{{ include "qsm.image" (dict "root" . "image" .Values.recon.image) }}
{{- end }}

{{- define "qsm.reconGpuImage" -}}
{{ include "qsm.image" (dict "root" . "image" .Values.recon.gpuImage) }}
{{- end }}

{{- define "qsm.pullSecrets" -}}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}
