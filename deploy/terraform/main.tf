# An auto-scaling group of mirror gateways. A new version of anything below is rolled out by an instance refresh, whose
# gates are ours: the load balancer's health check asks nfq2xdp, and an alarm looks for rollouts that went back.

terraform {
  required_version = ">= 1.3"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.35"
    }
  }
}

data "aws_region" "here" {}

locals {
  user_data = templatefile("${path.module}/../cloud-init/user-data.yaml", {
    name            = var.name
    region          = data.aws_region.here.name
    vni             = var.vni
    collector       = var.collector
    package_url     = var.package.url
    package_sha256  = var.package.sha256
    migration_units = var.enable_xdp_migration ? "nfq2xdp-migrate@br0 gateway-confirm" : ""
  })
}

resource "aws_iam_role" "gateway" {
  name_prefix = var.name
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "gateway" {
  role = aws_iam_role.gateway.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect    = "Allow"
        Action    = "cloudwatch:PutMetricData"
        Resource  = "*"
        Condition = { StringEquals = { "cloudwatch:namespace" = "nfq2xdp" } }
      },
      # Its own interfaces alone: they have its name as a tag.
      {
        Effect    = "Allow"
        Action    = "ec2:ModifyNetworkInterfaceAttribute"
        Resource  = "*"
        Condition = { StringEquals = { "aws:ResourceTag/nfq2xdp" = var.name } }
      },
    ]
  })
}

resource "aws_iam_instance_profile" "gateway" {
  name_prefix = var.name
  role        = aws_iam_role.gateway.name
}

resource "aws_launch_template" "gateway" {
  name_prefix   = var.name
  image_id      = var.ami
  instance_type = var.instance_type
  user_data     = base64encode(local.user_data)

  iam_instance_profile {
    arn = aws_iam_instance_profile.gateway.arn
  }
  metadata_options {
    http_tokens = "required"
  }
  # ens5 takes the mirror, ens6 gives it on.
  dynamic "network_interfaces" {
    for_each = [0, 1]
    content {
      device_index          = network_interfaces.value
      security_groups       = var.security_groups
      delete_on_termination = true
    }
  }
  tag_specifications {
    resource_type = "network-interface"
    tags          = { nfq2xdp = var.name }
  }
}

resource "aws_cloudwatch_metric_alarm" "rolled_back" {
  alarm_name          = "${var.name}-rolled-back"
  namespace           = "nfq2xdp"
  metric_name         = "RolledBack"
  dimensions          = { Group = var.name }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  treat_missing_data  = "notBreaching"
}

resource "aws_autoscaling_group" "gateway" {
  name_prefix         = var.name
  min_size            = var.size.min
  max_size            = var.size.max
  vpc_zone_identifier = var.subnets
  target_group_arns   = [var.target_group]
  health_check_type   = "ELB"
  # The package is fetched and the NFQUEUE path is up by then.
  health_check_grace_period = 300

  launch_template {
    id      = aws_launch_template.gateway.id
    version = aws_launch_template.gateway.latest_version
  }

  instance_refresh {
    strategy = "Rolling"
    preferences {
      min_healthy_percentage = 100
      max_healthy_percentage = 110
      # Four steps of a minute, and ten minutes at all: a rollout is confirmed before the next gateway begins.
      instance_warmup = var.enable_xdp_migration ? 1200 : 300
      auto_rollback   = true
      alarm_specification {
        alarms = [aws_cloudwatch_metric_alarm.rolled_back.alarm_name]
      }
    }
  }
}

resource "aws_autoscaling_policy" "cpu" {
  name                   = "${var.name}-cpu"
  autoscaling_group_name = aws_autoscaling_group.gateway.name
  policy_type            = "TargetTrackingScaling"
  target_tracking_configuration {
    target_value = 50
    predefined_metric_specification {
      predefined_metric_type = "ASGAverageCPUUtilization"
    }
  }
}

output "group" {
  value = aws_autoscaling_group.gateway.name
}
