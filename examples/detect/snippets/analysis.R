library(ggplot2)
library(dplyr)

measurements <- read.csv("measurements.csv", stringsAsFactors = FALSE)

summary_by_site <- measurements %>%
  filter(!is.na(value), value > 0) %>%
  group_by(site) %>%
  summarise(mean = mean(value), sd = sd(value), n = n())

model <- lm(value ~ temperature + factor(site), data = measurements)
print(summary(model))

plot_site <- function(data, name = "all") {
  ggplot(data, aes(x = temperature, y = value, colour = site)) +
    geom_point(alpha = 0.5) +
    geom_smooth(method = "lm") +
    labs(title = paste("Site:", name))
}

ggsave("plot.png", plot_site(measurements), width = 8, height = 5)
