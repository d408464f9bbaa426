variable "name" {
  description = "Name of the group and of what belongs to it."
  type        = string
  default     = "mirror-gateway"
}

variable "enable_xdp_migration" {
  description = "Migrate to XDP (nfq2xdp migrate auto), and confirm after ten minutes at all without a problem. Off: the NFQUEUE path carries all."
  type        = bool
  default     = true
}

variable "ami" {
  description = "Debian 12, with the awscli package in reach: user data installs it."
  type        = string
}

variable "instance_type" {
  type    = string
  default = "c6in.large"
}

variable "subnets" {
  description = "Subnets of the gateways: of the mirror's network load balancer, too."
  type        = list(string)
}

variable "security_groups" {
  description = "They let in UDP 4789 from the mirror sources and TCP 8080 from the load balancer."
  type        = list(string)
}

variable "target_group" {
  description = "ARN of the UDP 4789 target group. Its health check is HTTP on port 8080, path /."
  type        = string
}

variable "size" {
  type = object({ min = number, max = number })
  default = {
    min = 2
    max = 10
  }
}

variable "vni" {
  description = "VXLAN network identifier of the mirror session."
  type        = number
}

variable "collector" {
  description = "MAC address that the mirrored packets leave to, on the second interface."
  type        = string
}

variable "package" {
  description = "Where the Debian package is, and its SHA-256."
  type        = object({ url = string, sha256 = string })
}
