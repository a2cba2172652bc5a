{{- /* What the operator may do; deploy/rbac-*.yaml says the same, and a test compares them. */}}
{{- define "qsm.operatorRules" -}}
- apiGroups: [qsm-operator.io]
  resources: [qsmjobs]
  verbs: [get, list, watch, delete] # delete: when ttlSecondsAfterFinished is over
- apiGroups: [qsm-operator.io]
  resources: [qsmjobs/status]
  verbs: [patch]
- apiGroups: [qsm-operator.io]
  resources: [qsmpipelines]
  verbs: [list, watch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, list] # list: why a Job gets no pod (quota, LimitRange, PodSecurity)
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get] # the end of running pods' logs, for status.progress
{{- end }}

{{- /* A standby, in the operator's own namespace. Kubernetes cannot limit "create" by name. */}}
{{- define "qsm.leaseRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "qsm.fullname" . }}-operator]
  verbs: [get, update]
{{- end }}

{{- define "qsm.nodeRule" -}}
- apiGroups: [""]
  resources: [nodes]
  verbs: [list] # whether any node offers a GPU
{{- end }}

{{- define "qsm.intakeRules" -}}
- apiGroups: [qsm-operator.io]
  resources: [qsmroutes]
  verbs: [get, list, watch]
- apiGroups: [qsm-operator.io]
  resources: [qsmroutes/status]
  verbs: [patch]
- apiGroups: [qsm-operator.io]
  resources: [qsmpipelines]
  verbs: [list] # the condition Ready of a route says which pipeline is missing
- apiGroups: [qsm-operator.io]
  resources: [qsmjobs]
  verbs: [create, get, list]
- apiGroups: [""]
  resources: [configmaps] # the cursor into each Orthanc's changes
  verbs: [create, get, update]
- apiGroups: [coordination.k8s.io]
  resources: [leases] # which of the replicas follows the changes
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [qsm-intake]
  verbs: [get, update]
{{- end }}

{{- /* What to say where a Role belongs to the operator of another release. (dict "root" . "role" ROLE "place" TEXT), a JSON list. */}}
{{- define "qsm.otherOperator" -}}
{{- $labels := dig "metadata" "labels" dict .role }}
{{- $owner := printf "%s/%s" (dig "metadata" "annotations" "meta.helm.sh/release-namespace" "" .role) (dig "metadata" "annotations" "meta.helm.sh/release-name" "" .role) }}
{{- $me := printf "%s/%s" .root.Release.Namespace .root.Release.Name }}
{{- $isOperator := and (eq (dig "app.kubernetes.io/name" "" $labels) .root.Chart.Name) (eq (dig "app.kubernetes.io/component" "" $labels) "operator") }}
{{- if and $isOperator (ne $owner $me) (hasSuffix "-operator" .role.metadata.name) }}
{{- list (printf "release %s already has an operator for %s; two would do everything twice: uninstall it, or choose another scope here, or install without an operator (operator.enabled=false)" $owner .place) | toJson }}
{{- else }}[]
{{- end }}
{{- end }}

{{- /* Not empty where the cluster has our custom resources already. */}}
{{- define "qsm.knowsApi" -}}
{{- if and (.Capabilities.APIVersions.Has "qsm-operator.io/v1alpha1/QSMPipeline") (.Capabilities.APIVersions.Has "qsm-operator.io/v1alpha1/QSMRoute") }}yes{{ end }}
{{- end }}

{{- /* Helm resolves every kind before it creates anything, so pipelines come as hooks the first time. They carry the marks of ownership:
     the next upgrade takes them over as parts of the release, unchanged, since they cannot be edited. */}}
{{- define "qsm.firstInstall" -}}
{{- if not (include "qsm.knowsApi" .) -}}
helm.sh/hook: post-install
meta.helm.sh/release-name: {{ .Release.Name }}
meta.helm.sh/release-namespace: {{ .Release.Namespace }}
{{- end }}
{{- end }}
