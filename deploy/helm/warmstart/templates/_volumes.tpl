{{/* Which volumes a service mounts: the state it shares, the artefacts it reads. */}}

{{/* "yes" for the gateway while its profiles are one SQLite file that all its pods open. */}}
{{- define "warmstart.service.shared" -}}
{{- if and (eq .component "gateway") (not .root.Values.postgresql.existingSecret) }}yes{{ end -}}
{{- end }}

{{/* "yes" for whoever reads the artefacts: the expander, and a service with a setting that names a file there. */}}
{{- define "warmstart.service.reads" -}}
{{- $reads := eq .component "expander" }}
{{- range (get .root.Values.services .component).settings }}{{ if hasPrefix "/artefacts/" (toString .) }}{{ $reads = true }}{{ end }}{{ end }}
{{- if $reads }}yes{{ end -}}
{{- end }}

{{- define "warmstart.artefacts" -}}
{{ .Values.artefacts.existingClaim | default (printf "%s-artefacts" (include "warmstart.fullname" .)) }}
{{- end }}
