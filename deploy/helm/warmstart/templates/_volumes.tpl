{{/* Which volumes a service mounts: the state it shares, the artefacts it reads. */}}

{{/* "yes" for the gateway while its profiles are one SQLite file that all its pods open. */}}
{{- define "warmstart.service.shared" -}}
{{- if and (eq .component "gateway") (not .root.Values.postgresql.existingSecret) }}yes{{ end -}}
{{- end }}

{{/* "yes" for whoever reads the artefacts: the expander, an encoder on NeuronCores, and a service with a setting that names a file there. */}}
{{- define "warmstart.service.reads" -}}
{{- $reads := or (eq .component "expander") (include "warmstart.neuron" .) }}
{{- range (include "warmstart.service.own" . | fromJson).settings }}{{ if hasPrefix "/artefacts/" (toString .) }}{{ $reads = true }}{{ end }}{{ end }}
{{- if $reads }}yes{{ end -}}
{{- end }}

{{- define "warmstart.artefacts" -}}
{{ .Values.artefacts.existingClaim | default (printf "%s-artefacts" (include "warmstart.fullname" .)) }}
{{- end }}

{{/* "yes" where the artefacts lie on a volume that one node mounts at a time. */}}
{{- define "warmstart.artefacts.oneNode" -}}
{{- if ne .Values.artefacts.accessMode "ReadWriteMany" }}yes{{ end -}}
{{- end }}

{{/* Of every pod that mounts the artefacts, so that those on a volume of one node find each other. */}}
{{- define "warmstart.artefacts.label" -}}
warmstart/artefacts: mounted
{{- end }}

{{/* Pods on one ReadWriteOnce volume must be on one node: elsewhere they would wait for the volume for ever. */}}
{{- define "warmstart.together" -}}
podAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    - topologyKey: kubernetes.io/hostname
      labelSelector: {{ . }}
{{- end }}

{{- define "warmstart.artefacts.together" -}}
{{- include "warmstart.together" (printf "{matchLabels: {app.kubernetes.io/name: warmstart, app.kubernetes.io/instance: %q, %s}}" .Release.Name (include "warmstart.artefacts.label" .)) }}
{{- end }}

{{/* What binds a service's pods to one node: the artefacts, or the volume that they share. Empty where nothing does. */}}
{{- define "warmstart.service.together" -}}
{{- if and (include "warmstart.service.reads" .) (include "warmstart.artefacts.oneNode" .root) }}
{{- include "warmstart.artefacts.together" .root }}
{{- else if include "warmstart.service.shared" . }}
{{- include "warmstart.together" (include "warmstart.selector" .) }}
{{- end }}
{{- end }}
